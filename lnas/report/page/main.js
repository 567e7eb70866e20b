// The epoch and the runs that are shown, and who is told of them.
function setEpoch(epoch) {
  state.epoch = epoch;
  const slider = document.getElementById("epoch");
  if (slider) {
    slider.value = String(epoch);
    document.getElementById("epoch-said").value = `${epoch} of ${report.last}`;
  }
  showCells();
  movePanels();
}

function makeToggles() {
  const home = document.getElementById("toggles");
  if (report.trials.length < 2) {
    home.hidden = true;
    return;
  }
  const boxes = report.trials.map((trial, index) => {
    const box = make("input", { type: "checkbox" });
    const label = make("label", {}, box, make("i"), trial.name);
    label.style.setProperty("--c", colourOf(index));
    box.checked = trial.on;
    box.addEventListener("change", () => {
      if (box.checked) state.shown.add(index);
      else state.shown.delete(index);
      showCells();
      updatePanels();
    });
    home.append(label);
    return box;
  });
  const all = make("button", { type: "button", class: "quick" }, "all");
  const none = make("button", { type: "button", class: "quick" }, "none");
  for (const [button, on] of [[all, true], [none, false]]) {
    button.addEventListener("click", () => {
      boxes.forEach((box, index) => {
        box.checked = on;
        if (on) state.shown.add(index);
      });
      if (!on) state.shown.clear();
      showCells();
      updatePanels();
    });
  }
  home.append(all, none);
}

function makeSlider() {
  const slider = document.getElementById("epoch");
  if (!slider) return;
  slider.addEventListener("input", () => setEpoch(Number(slider.value)));
  const button = document.getElementById("play");
  let clock = 0;
  const stop = () => {
    clearInterval(clock);
    clock = 0;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
  };
  button.addEventListener("click", () => {
    if (clock) {
      stop();
      return;
    }
    if (state.epoch >= report.last) setEpoch(1);
    button.textContent = "Pause";
    button.setAttribute("aria-pressed", "true");
    clock = setInterval(() => {
      if (state.epoch >= report.last) stop();
      else setEpoch(state.epoch + 1);
    }, Math.max(80, Math.min(600, 12000 / report.last)));
  });
}

makeToggles();
makeSlider();
showOperations();
showCells();
makePanels();
drawScores().then(drawPanels);
