// What all parts of the page share. Texts go in with textContent; only drawings, which the report
// has written and escaped itself, are markup.
"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const state = { epoch: report.last, shown: new Set(report.trials.flatMap((t, i) => (t.on ? [i] : []))) };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function colourOf(trial) {
  return `var(--r${report.trials[trial].colour % 10})`;
}

function shownRuns() {
  return report.runs.map((run, index) => index).filter((i) => state.shown.has(report.runs[i].trial));
}

// The last entry that is not behind the epoch: a run that ended before stays as it was.
function upTo(list, epoch, at = (one) => one) {
  let found = 0;
  list.forEach((one, index) => { if (at(one) <= epoch) found = index; });
  return found;
}
