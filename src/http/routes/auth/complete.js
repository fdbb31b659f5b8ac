const given = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);
const words = document.getElementById("words");
const shown = document.getElementById("handoff");
if (given.has("handoff")) {
  words.textContent = "You are signed in. Paste this where you were asked for it, within a minute:";
  shown.textContent = given.get("handoff");
  shown.hidden = false;
} else if (given.has("error")) {
  words.textContent = "The sign-in did not work: " + given.get("error").slice(0, 40);
  if (given.has("operator")) {
    shown.textContent = given.get("operator").slice(0, 40);
    shown.hidden = false;
  }
}
