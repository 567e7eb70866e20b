// Cells and the strips of their gates: a card for each search, drawn when it is first shown.
const cards = new Map();

function unpack(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function operationOf(name) {
  return report.operations[name] || { label: name.replaceAll("_", " "), colour: "#5b6770" };
}

function drawStrip(canvas, bytes, edge, edges, operations, epochs) {
  canvas.width = epochs;
  canvas.height = operations.length;
  const picture = canvas.getContext("2d");
  const image = picture.createImageData(epochs, operations.length);
  operations.forEach((name, row) => {
    const [red, green, blue] = rgb(operationOf(name).colour);
    for (let time = 0; time < epochs; time += 1) {
      const value = bytes[(time * edges + edge) * operations.length + row];
      image.data.set([red, green, blue, value], 4 * (row * epochs + time));
    }
  });
  picture.putImageData(image, 0, 0);
}

function strongest(heat, cell, bytes, edge, time) {
  const count = heat.operations.length;
  const start = (time * cell.edges.length + edge) * count;
  const row = bytes.slice(start, start + count);
  const best = row.indexOf(Math.max(...row));
  const value = heat.low + (row[best] / 255) * (heat.high - heat.low);
  return `${operationOf(heat.operations[best]).label} ${value.toPrecision(2)}`;
}

function makeStrips(heat, cell) {
  const bytes = unpack(cell.gates);
  const grid = make("div", { class: "strips" });
  const strips = cell.edges.map((name, edge) => {
    const canvas = make("canvas", { role: "img" });
    const line = make("b");
    drawStrip(canvas, bytes, edge, cell.edges.length, heat.operations, heat.epochs.length);
    const strip = make("figure", { class: "strip" }, name, make("div", {}, canvas, line));
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * heat.epochs.length);
      const row = Math.floor(((event.clientY - box.top) / box.height) * heat.operations.length);
      const time = Math.min(Math.max(column, 0), heat.epochs.length - 1);
      const at = Math.min(Math.max(row, 0), heat.operations.length - 1);
      const byte = bytes[(time * cell.edges.length + edge) * heat.operations.length + at];
      const value = heat.low + (byte / 255) * (heat.high - heat.low);
      strip.title = `epoch ${heat.epochs[time]}, ${operationOf(heat.operations[at]).label}: ${value.toPrecision(3)}`;
    });
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * heat.epochs.length);
      setEpoch(heat.epochs[Math.min(Math.max(column, 0), heat.epochs.length - 1)]);
    });
    grid.append(strip);
    return (epoch) => {
      const time = upTo(heat.epochs, epoch);
      line.style.left = `calc(${((time + 0.5) / heat.epochs.length) * 100}% - 1px)`;
      canvas.setAttribute("aria-label",
        `gates of ${name} over ${heat.epochs.length} epochs; after epoch ${heat.epochs[time]} the largest is ${strongest(heat, cell, bytes, edge, time)}`);
    };
  });
  return [grid, (epoch) => strips.forEach((move) => move(epoch))];
}

function makeTrail(trail, last) {
  const bar = make("div", { class: "trail", "aria-hidden": "true" });
  const parts = trail.map(([from], index) => {
    const to = index + 1 < trail.length ? trail[index + 1][0] : last + 1;
    const part = make("span", { title: `the same cell from epoch ${from} to ${to - 1}` });
    part.style.flexGrow = to - from;
    return part;
  });
  bar.append(...parts);
  return [bar, (now) => parts.forEach((part, index) => part.classList.toggle("now", index === now))];
}

function makeDrawings(titles) {
  const drawings = make("div", { class: "drawings" });
  const holders = titles.map((title) => {
    const holder = make("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": title });
    drawings.append(make("figure", {}, make("figcaption", {}, title), holder));
    return holder;
  });
  let before = [];
  return [drawings, (ids) => {
    holders.forEach((holder, index) => {
      if (before[index] !== ids[index]) holder.innerHTML = report.drawings[ids[index]];
    });
    before = ids;
  }];
}

function makeCard(search) {
  const run = report.runs[search.run];
  const said = make("span", { class: "said" });
  const card = make("article", { class: "card", "data-run": search.run }, make("h3", {}, run.name, said));
  const moves = [];
  if (search.trail.length) {
    const [drawings, draw] = makeDrawings(search.titles);
    const [bar, mark] = makeTrail(search.trail, search.epochs);
    card.append(bar, drawings);
    moves.push((epoch) => {
      const now = upTo(search.trail, epoch, (one) => one[0]);
      const [since, ids, hash] = search.trail[now];
      draw(ids);
      mark(now);
      const changes = search.trail.length - 1;
      said.textContent = `cell ${hash.slice(0, 8)} since epoch ${since}; ` +
        (changes ? `${changes} change${changes > 1 ? "s" : ""} in ${search.epochs} epochs` : "never changed");
    });
  } else if (!search.derived) {
    card.append(make("p", { class: "empty" }, "No cell was noted for its epochs."));
  }
  if (search.derived) {
    const [ids, hash] = search.derived;
    const [drawings, draw] = makeDrawings(search.titles);
    draw(ids);
    card.append(make("p", { class: "hint" }, `${search.trained ? "Trained" : "Derived in the end"}: cell ${hash.slice(0, 8)}`), drawings);
  }
  if (search.heat) {
    for (const cell of search.heat.cells) {
      const [grid, move] = makeStrips(search.heat, cell);
      card.append(make("h3", { class: "gates" }, `gates of the ${cell.title}`), grid);
      moves.push(move);
    }
    card.append(make("p", { class: "hint" },
      `No colour is ${search.heat.low.toPrecision(2)}, full colour is ${search.heat.high.toPrecision(2)}, the same for all edges. A click goes to an epoch.`));
  } else {
    card.append(make("p", { class: "hint" }, search.dropped ? "Its gates were left out to keep this file small." : search.trained ? "" : "Its gates were not noted."));
  }
  return { card, move: (epoch) => moves.forEach((one) => one(epoch)) };
}

function showCells() {
  const home = document.getElementById("cells");
  if (!home) return;
  for (const search of report.searches) {
    const on = state.shown.has(report.runs[search.run].trial);
    if (on && !cards.has(search.run)) cards.set(search.run, makeCard(search));
    const made = cards.get(search.run);
    if (!made) continue;
    if (!made.card.isConnected) {
      const after = [...home.children].find((one) => Number(one.dataset.run) > search.run);
      home.insertBefore(made.card, after || null);
    }
    made.card.hidden = !on;
    if (on) made.move(state.epoch);
  }
}

function showOperations() {
  const home = document.getElementById("operations");
  if (!home) return;
  for (const name of report.named) {
    const key = make("span", { class: "key" }, make("i"), operationOf(name).label);
    key.style.setProperty("--c", operationOf(name).colour);
    home.append(key);
  }
}
