"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
    const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headings.forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const key = (row) => parseFloat(row.cells[column].dataset.key ?? "NaN");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => isNaN(key(a)) - isNaN(key(b)) || direction * (key(a) - key(b)) || 0);
    table.tBodies[0].append(...rows);
  }));
}
for (const note of document.querySelectorAll(".no-script")) note.hidden = true;
for (const figure of document.querySelectorAll("figure.animation")) {
  const times = figure.dataset.times.split(" ");
  const [play, slider, output] = [".play", "input", "output"].map((name) => figure.querySelector(name));
  const images = figure.querySelectorAll("img");
  let timer = null;
  const show = () => {
    const place = times.length > 1 ? (100 * slider.value) / (times.length - 1) : 0;
    images.forEach((image) => { image.style.objectPosition = `0 ${place}%`; });
    output.textContent = `t = ${Number(times[slider.value]).toFixed(1)} ${figure.dataset.clock}`;
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    timer = setInterval(() => { slider.value = (Number(slider.value) + 1) % times.length; show(); }, 100);
  });
  figure.querySelector(".controls").hidden = false;
  show();
}
