"""A provider of hosted models on loopback, in a thread of its own: files, jobs, checkpoints, completions."""

import asyncio
import json
import threading
from typing import Any, Self

from aiohttp import web

KEY = "sk-planted-0123456789"


class Provider:
    """Speaks the protocol as OpenAI does; its fields say how it misbehaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.polls = 1
        "How often a job is looked at before it is over."
        self.keeps = 3
        self.ends = "succeeded"
        self.busy = 0
        "So many requests are told to come again."
        self.lost = 0
        "So many jobs are begun without anybody being told."
        self.forgets = False
        self.echoes = False
        self.refuses = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> str:
        app = web.Application(middlewares=[self._door])
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_post("/v1/fine_tuning/jobs", self._create)
        app.router.add_get("/v1/fine_tuning/jobs", self._list)
        app.router.add_get("/v1/fine_tuning/jobs/{id}", self._look)
        app.router.add_get("/v1/fine_tuning/jobs/{id}/checkpoints", self._checkpoints)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        said = request.headers.get("Authorization", "")
        if said != f"Bearer {KEY}":
            return web.json_response({"error": {"message": "who are you?"}}, status=401)
        if self.echoes:
            return web.json_response({"error": {"message": f"you sent {said}"}}, status=400)
        if self.busy:
            self.busy -= 1
            return web.json_response({"error": {"message": "later"}}, status=429, headers={"Retry-After": "0.05"})
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "fine-tune"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response({"id": name, "object": "file", "purpose": "fine-tune", "status": "processed"})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["training_file"] not in self.files:
            return web.json_response({"error": {"message": "no such file"}}, status=400)
        asked = body["method"]["supervised"]["hyperparameters"]
        job = {
            "id": f"ftjob-{len(self.jobs)}", "object": "fine_tuning.job", "model": body["model"], "created_at": 100,
            "status": "validating_files", "error": {}, "fine_tuned_model": None, "finished_at": None,
            "trained_tokens": None, "training_file": body["training_file"], "seed": body["seed"], "body": body,
            "hyperparameters": {"batch_size": "auto", **asked}, "metadata": body["metadata"], "polls": 0,
        }  # fmt: skip
        self.jobs[str(job["id"])] = job
        if self.lost:
            self.lost -= 1
            return web.json_response({"error": {"message": "internal"}}, status=500)
        return web.json_response(job)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": list(self.jobs.values()), "has_more": False})

    async def _look(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["id"])
        if job is None or self.forgets:
            return web.json_response({"error": {"message": "no such job"}}, status=404)
        job["polls"] += 1
        job["status"] = "running" if job["polls"] <= self.polls else self.ends
        if job["status"] == "succeeded":
            chats = self.files[job["training_file"]].count(b"\n")
            tokens = 50 * chats * job["hyperparameters"]["n_epochs"]
            job |= {"fine_tuned_model": f"ft:{job['model']}:{job['id']}", "finished_at": 160, "trained_tokens": tokens}
        elif job["status"] == "failed":
            job["error"] = {"code": "invalid_training_file", "message": "examples are unsafe"}
        return web.json_response(job)

    async def _checkpoints(self, request: web.Request) -> web.Response:
        """The last epochs' checkpoints, the newest first, two a page; the last one is the model itself."""
        job = self.jobs[request.match_info["id"]]
        epochs, name = job["hyperparameters"]["n_epochs"], job["fine_tuned_model"]
        found = [
            {
                "id": f"ftckpt-{epoch}", "object": "fine_tuning.job.checkpoint", "step_number": 7 * epoch,
                "fine_tuned_model_checkpoint": name if epoch == epochs else f"{name}:ckpt-step-{7 * epoch}",
                "metrics": {"train_loss": 1 / epoch},
            }
            for epoch in range(epochs, max(0, epochs - self.keeps), -1)
        ]  # fmt: skip
        after = request.query.get("after")
        start = next((i + 1 for i, each in enumerate(found) if each["id"] == after), 0)
        return web.json_response({"data": found[start : start + 2], "has_more": start + 2 < len(found)})

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if self.refuses and self.refuses in body["messages"][-1]["content"]:
            return web.json_response({"error": {"message": "flagged", "code": "content_policy_violation"}}, status=400)
        choice = {"message": {"role": "assistant", "content": f"I am {body['model']}."}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 10}})

    def lines(self, job: str) -> list[Any]:
        """The conversations that a job learnt."""
        return [json.loads(line) for line in self.files[self.jobs[job]["training_file"]].splitlines()]
