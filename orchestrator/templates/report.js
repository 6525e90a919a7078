"use strict";
// The table of every cell: each view is columns of words (coded) and of numbers; one page of rows is in the document at a time.
(() => {
  const SIZE = 25;
  const views = JSON.parse(document.getElementById("cells-data").textContent);
  const box = document.getElementById("explorer");
  if (!views.length) return;
  const form = box.querySelector("form"), body = box.querySelector("tbody"), head = box.querySelector("thead");
  const state = { view: views[0], sort: null, down: false, page: 0, rows: [] };

  const make = (tag, text, into) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (into) into.append(made);
    return made;
  };
  const labelled = (name, options, chosen, changed) => {
    const label = make("label", name + " ", form), select = make("select", undefined, label);
    select.name = name;
    options.forEach(([value, text]) => { make("option", text, select).value = value; });
    select.value = chosen;
    select.addEventListener("change", changed);
    return select;
  };

  function filters() {
    form.replaceChildren();
    const view = labelled("table", views.map((v, i) => [String(i), v.title]), String(views.indexOf(state.view)), () => {
      Object.assign(state, { view: views[+view.value], sort: null, page: 0 });
      filters();
      form.querySelector("select").focus();
    });
    state.view.labels.filter((column) => column.words.length > 1).forEach((column) => {
      const words = column.words.map((word, code) => [String(code), word || "(none)"]);
      labelled(column.title, [["", "every"], ...words.sort((a, b) => a[1].localeCompare(b[1], "en", { numeric: true }))], "", filter);
    });
    box.querySelector("caption").textContent = `${state.view.title}: ${state.view.about}`;
    filter();
  }

  function filter() {
    const wanted = state.view.labels.map((column) => form.elements[column.title]?.value ?? "");
    state.rows = [];
    for (let row = 0; row < state.view.length; row++)
      if (wanted.every((code, at) => code === "" || state.view.labels[at].codes[row] === +code)) state.rows.push(row);
    state.page = 0;
    order();
  }

  function order() {
    const { labels, numbers } = state.view, at = state.sort, sign = state.down ? -1 : 1;
    if (at === null) state.rows.sort((a, b) => a - b);
    else if (at < labels.length) {
      const { words, codes } = labels[at];
      state.rows.sort((a, b) => sign * words[codes[a]].localeCompare(words[codes[b]], "en", { numeric: true }) || a - b);
    } else {
      const values = numbers[at - labels.length].values;  // what is not known stands last, either way
      state.rows.sort((a, b) => (values[a] === null) - (values[b] === null) || sign * (values[a] - values[b]) || a - b);
    }
    draw();
  }

  function headings() {
    head.replaceChildren();
    const row = make("tr", undefined, head);
    [...state.view.labels, ...state.view.numbers].forEach((column, at) => {
      const cell = make("th", undefined, row), button = make("button", column.title, cell);
      cell.scope = "col";
      if (at < state.view.labels.length) cell.className = "word";
      cell.setAttribute("aria-sort", state.sort !== at ? "none" : state.down ? "descending" : "ascending");
      button.type = "button";
      button.addEventListener("click", () => {
        state.down = state.sort === at ? !state.down : at >= state.view.labels.length;
        state.sort = at;
        order();
        head.querySelectorAll("button")[at].focus();
      });
    });
  }

  function draw() {
    const { labels, numbers } = state.view, pages = Math.max(1, Math.ceil(state.rows.length / SIZE));
    headings();
    body.replaceChildren(...state.rows.slice(state.page * SIZE, (state.page + 1) * SIZE).map((at) => {
      const row = make("tr");
      labels.forEach(({ words, codes }) => { make("td", words[codes[at]], row).className = "word"; });
      numbers.forEach(({ values, places }) => make("td", values[at] === null ? "–" : values[at].toFixed(places), row));
      return row;
    }));
    box.querySelector(".count").textContent = `${state.rows.length.toLocaleString("en")} of ${state.view.length.toLocaleString("en")} cells`;
    box.querySelector(".pages span").textContent = `page ${state.page + 1} of ${pages}`;
    box.querySelector(".back").disabled = state.page === 0;
    box.querySelector(".on").disabled = state.page >= pages - 1;
  }

  box.querySelector(".back").addEventListener("click", () => { state.page--; draw(); });
  box.querySelector(".on").addEventListener("click", () => { state.page++; draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  filters();
  box.hidden = false;
})();

// The replies: by task and model.
(() => {
  const bar = document.getElementById("reply-filters"), all = [...document.querySelectorAll(".prompt")];
  if (!bar) return;
  const choose = ["task", "model"].map((name) => {
    const label = document.createElement("label"), select = document.createElement("select");
    const names = [...new Set(all.map((one) => one.dataset[name]))];
    names.forEach((value) => select.append(new Option(value, value)));
    if (name === "task") select.append(new Option("every", ""));
    select.selectedIndex = 0;
    select.name = name;
    label.append(`${name} `, select);
    bar.append(label);
    select.addEventListener("change", show);
    return select;
  });
  function show() {
    all.forEach((one) => { one.hidden = choose.some((select) => select.value && one.dataset[select.name] !== select.value); });
  }
  bar.hidden = false;
  show();
})();
