"""The `warmth` command."""

import click

from . import commands_cluster, commands_findings, commands_judges, commands_run, commands_share


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="warmth")
def main() -> None:
    """What does it cost to give a language model a persona?"""


for _command in (
    commands_run.plan,
    commands_run.prefetch,
    commands_run.run,
    commands_cluster.submit,
    commands_cluster.fetch,
    commands_share.status,
    commands_share.check,
    commands_share.bundle,
    commands_share.export,
    commands_findings.report,
    commands_findings.import_,
    commands_findings.fit,
    commands_findings.compare,
    commands_run.evaluate,
    commands_judges.sample_labels,
    commands_judges.read_labels,
    commands_judges.restyle,
    commands_judges.red_team,
    commands_run.serve,
    commands_judges.score,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
