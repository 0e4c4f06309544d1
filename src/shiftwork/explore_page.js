// Moves and shows the points of the picture. Their places on every axis are in the page.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("points").textContent);
  const plot = byId("plot");
  const panel = byId("panel");
  const box = data.box;
  const NEAR = 22;
  const SHOWN = 4;

  const circles = [];
  for (const circle of plot.querySelectorAll("circle")) {
    const title = circle.querySelector("title");
    circle.setAttribute("aria-label", title.textContent);
    title.remove();
    circles[Number(circle.dataset.index)] = circle;
  }
  const hint = panel.textContent;
  let chosen = [];

  const across = (place) => box.left + place * (box.right - box.left);
  const up = (place) => box.bottom - place * (box.bottom - box.top);

  function add(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
  }

  function drawAxes(x, y) {
    const ticks = byId("ticks");
    ticks.replaceChildren();
    for (const [place, text] of x.ticks) {
      const at = across(place).toFixed(1);
      add(ticks, "path", { class: "grid", d: `M${at} ${box.top}V${box.bottom}` });
      add(ticks, "text", { class: "tick", x: at, y: box.bottom + 15 }, text);
    }
    for (const [place, text] of y.ticks) {
      const at = up(place);
      add(ticks, "path", { class: "grid", d: `M${box.left} ${at.toFixed(1)}H${box.right}` });
      add(ticks, "text", { class: "tick up", x: box.left - 6, y: (at + 4).toFixed(1) }, text);
    }
    byId("label-x").textContent = x.label;
    byId("label-y").textContent = y.label;
    plot.setAttribute("aria-label", `${y.label} over ${x.label}`);
  }

  function ticked(name) {
    const boxes = [...document.querySelectorAll(`input[name=${name}]`)];
    if (boxes.length === 0) return null;
    return new Set(boxes.filter((item) => item.checked).map((item) => Number(item.value)));
  }

  function draw() {
    const x = data.axes[byId("axis-x").value];
    const y = data.axes[byId("axis-y").value];
    drawAxes(x, y);
    const boards = ticked("board");
    const series = ticked("series");
    const alone = boards !== null && boards.size === 1;
    const frontOnly = byId("front-only").checked;
    let shown = 0;
    for (const [index, circle] of circles.entries()) {
      const [board, kind, front, ownFront] = data.points[index];
      const best = Boolean(alone ? ownFront : front);
      const visible =
        (boards === null || boards.has(board)) &&
        (series === null || series.has(kind)) &&
        (best || !frontOnly);
      circle.setAttribute("cx", across(x.places[index]).toFixed(1));
      circle.setAttribute("cy", up(y.places[index]).toFixed(1));
      circle.setAttribute("r", best ? "5" : "3.5");
      circle.classList.toggle("front", best);
      circle.classList.toggle("hidden", !visible);
      if (visible && best) circle.setAttribute("tabindex", "0");
      else circle.removeAttribute("tabindex");
      shown += visible ? 1 : 0;
    }
    byId("count").textContent = `${shown} of ${circles.length} points shown`;
    show([]);
  }

  function show(indices) {
    if (indices.join() === chosen.join()) return;
    for (const index of chosen) circles[index].classList.remove("chosen");
    chosen = indices;
    for (const index of chosen) circles[index].classList.add("chosen");
    panel.replaceChildren();
    if (chosen.length === 0) panel.textContent = hint;
    for (const index of chosen.slice(0, SHOWN)) {
      const text = document.createElement("p");
      text.textContent = circles[index].getAttribute("aria-label");
      panel.append(text);
    }
    if (chosen.length > SHOWN) {
      const more = document.createElement("p");
      more.textContent = `and ${chosen.length - SHOWN} more at the same place`;
      panel.append(more);
    }
  }

  // The nearest point on the front, else the nearest of all, with those at the same place.
  function nearest(event) {
    const area = plot.getBoundingClientRect();
    const unit = plot.viewBox.baseVal.width / area.width;
    const x = (event.clientX - area.left) * unit;
    const y = (event.clientY - area.top) * unit;
    let least = NEAR;
    let found = [];
    for (const [index, circle] of circles.entries()) {
      if (circle.classList.contains("hidden")) continue;
      const reach = circle.classList.contains("front") ? 0 : 2;
      const dx = circle.getAttribute("cx") - x;
      const dy = circle.getAttribute("cy") - y;
      const distance = Math.hypot(dx, dy) + reach;
      if (distance < least - 0.5) {
        least = distance;
        found = [index];
      } else if (found.length > 0 && Math.abs(distance - least) <= 0.5) {
        found.push(index);
      }
    }
    return found;
  }

  plot.addEventListener("pointermove", (event) => {
    const found = nearest(event);
    if (found.length > 0) show(found);
  });
  plot.addEventListener("click", (event) => show(nearest(event)));
  plot.addEventListener("focusin", (event) => {
    if (event.target.dataset.index !== undefined) show([Number(event.target.dataset.index)]);
  });
  byId("controls").hidden = false;
  for (const control of document.querySelectorAll(".explore select, .explore input")) {
    control.hidden = false;
    control.addEventListener("change", draw);
  }
  draw();
})();
