// Making elements and writing numbers. Text from the trace goes into the document here, and only as text.

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/u;
const CONTROLS_IN_LINE = new RegExp(CONTROLS.source, "gu");

function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

function button(className, label, onClick) {
  const element = el("button", className, label);
  element.type = "button";
  element.addEventListener("click", onClick);
  return element;
}

function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

// One line for a label: characters that would steer how text around them is drawn are replaced.
function safeLine(text) {
  return text.replace(CONTROLS_IN_LINE, "\ufffd");
}

// Appends text, with controls shown for what they are. A long text has few: beyond the bound they are only replaced.
const MAX_SHOWN_CONTROLS = 2000;
function appendText(parent, text, className) {
  const target = className ? el("span", className) : parent;
  if (!CONTROLS.test(text)) {
    target.append(text);
  } else {
    let last = 0;
    let shown = 0;
    for (const found of text.matchAll(CONTROLS_IN_LINE)) {
      if (++shown > MAX_SHOWN_CONTROLS) break;
      target.append(text.slice(last, found.index), el("span", "control", codePoint(found[0])));
      last = found.index + found[0].length;
    }
    target.append(safeLine(text.slice(last)));
  }
  if (target !== parent) parent.append(target);
}

const whole = new Intl.NumberFormat("en-US");

function count(number) {
  return whole.format(number);
}

function compact(number) {
  if (number < 10000) return count(number);
  if (number < 1e6) return `${(number / 1e3).toFixed(number < 1e5 ? 1 : 0)}k`;
  return `${(number / 1e6).toFixed(number < 1e7 ? 2 : 1)}M`;
}

function money(dollars) {
  if (dollars === 0) return "$0";
  if (dollars >= 100) return `$${dollars.toFixed(2)}`;
  if (dollars >= 0.01) return `$${dollars.toFixed(4)}`;
  if (dollars < 0.000001) return "<$0.000001";
  return `$${dollars.toFixed(2 - Math.floor(Math.log10(dollars)))}`;
}

function seconds(value) {
  if (value >= 3600) return `${Math.floor(value / 3600)}h ${Math.floor((value % 3600) / 60)}m`;
  if (value >= 60) return `${Math.floor(value / 60)}m ${Math.floor(value % 60)}s`;
  if (value >= 10) return `${value.toFixed(1)} s`;
  if (value >= 1) return `${value.toFixed(2)} s`;
  if (value >= 0.001) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return value > 0 ? `${(value * 1e6).toFixed(0)} \u00b5s` : "0 s";
}

function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
