"use strict";
const words = JSON.parse(document.getElementById("words").textContent);

function speak(language) {
  const chosen = words[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = chosen[element.dataset.t];
  }
  for (const element of document.querySelectorAll("[data-title]")) {
    element.title = chosen[element.dataset.title];
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
  try { localStorage.setItem("genus-language", language); } catch { /* storage may be barred */ }
}

function firstLanguage() {
  const asked = new URLSearchParams(location.search).get("language") || location.hash.slice(1);
  if (asked in words) return asked;
  try {
    const kept = localStorage.getItem("genus-language");
    if (kept in words) return kept;
  } catch { /* storage may be barred */ }
  return (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
}

function sortBy(heading) {
  const table = heading.closest("table");
  const place = [...heading.parentNode.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentNode.children) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = (row) => row.children[place].dataset.v;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === undefined || right === undefined) {
      return (left === undefined) - (right === undefined);
    }
    const numbers = [Number(left), Number(right)];
    const order = numbers.some(Number.isNaN) ? left.localeCompare(right) : numbers[0] - numbers[1];
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
for (const heading of document.querySelectorAll(".scroll thead th")) {
  heading.querySelector("button").addEventListener("click", () => sortBy(heading));
}
speak(firstLanguage());
