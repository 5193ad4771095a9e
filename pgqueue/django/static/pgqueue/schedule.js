/* As one types: what the rule means, when it runs next, what is wrong. Set as text only. */
document.addEventListener("DOMContentLoaded", function () {
  "use strict";
  const form = document.getElementById("pgq-schedule-form");
  if (!form) return;
  const address = document.querySelector(".pgq-schedule").dataset.preview;
  let timer = null;
  let asked = 0;

  async function look() {
    const number = ++asked;
    let found;
    try {
      const answer = await fetch(address, { method: "POST", body: new FormData(form), credentials: "same-origin" });
      if (!answer.ok) return;
      found = await answer.json();
    } catch (error) {
      return;
    }
    if (number !== asked) return;
    document.getElementById("pgq-words").textContent = found.words;
    document.getElementById("pgq-slots").replaceChildren(...found.next.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    form.querySelectorAll(".pgq-wrong").forEach((place) => {
      const field = form.elements[place.dataset.field];
      const wrong = (found.errors[place.dataset.field] || []).filter(() => field && field.value !== "" || place.dataset.field === "args");
      place.textContent = wrong.join(" ");
      place.closest(".form-row").classList.toggle("errors", wrong.length > 0);
    });
  }

  form.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(look, 250);
  });
});
