"use strict";
// Solves the puzzle, exchanges it for a clearance, and goes to the page that was asked for. Nobody has to do anything.

const VERIFY = "/.keyloft/challenge";
// One counter of 256 is right, on average; a broken puzzle must not run for ever.
const MAX_COUNTER = 1 << 16;
// A site that asks again and again is not helped by solving again and again.
const MAX_PASSES = 3;
const PASSES_WITHIN_MS = 60_000;
const PASSES = "keyloft-passes";

const page = document.querySelector("main");
const again = document.getElementById("again");

const SAID = {
  working: "Your browser is being checked. There is nothing for you to do.",
  done: "Done. Going on to the page.",
  send: "Done. What you sent has not been taken yet: go back and send it again.",
  cookies: "The check was passed, but your browser did not keep the cookie that says so. "
    + "Allow cookies for this site, then try again.",
  expired: "This check has expired.",
  failed: "The check did not work.",
  away: "The check could not be finished: the site does not answer.",
  loop: "The check was passed, and the site asks for it again. Wait a minute, then try again.",
  http: "This check works over https only.",
};

function say(what) {
  document.getElementById("words").textContent = SAID[what];
  again.hidden = ["working", "done", "send", "http"].includes(what);
}

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function derive({ nonce, salt, cost, keyLength }, counter) {
  const password = new Uint8Array(nonce.length / 2 + 4);
  password.set(bytes(nonce));
  new DataView(password.buffer).setUint32(nonce.length / 2, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
  return hex(new Uint8Array(await crypto.subtle.deriveBits(how, key, keyLength * 8)));
}

// The browser derives keys beside the page, which stays alive: this only waits for them.
async function solve(parameters) {
  const start = performance.now();
  const atOnce = Math.min(navigator.hardwareConcurrency || 2, 8);
  for (let counter = 0; counter < MAX_COUNTER; counter += atOnce) {
    const keys = await Promise.all(Array.from({ length: atOnce }, (_, n) => derive(parameters, counter + n)));
    const right = keys.findIndex((key) => key.startsWith(parameters.keyPrefix));
    if (right >= 0) {
      return { counter: counter + right, derivedKey: keys[right], time: Math.round(performance.now() - start) };
    }
  }
  throw new Error("no counter solves the puzzle");
}

// A server that is busy with others is asked again, each time later.
async function redeem(body) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  for (let seconds = 1; ; seconds *= 2) {
    const answer = await fetch(VERIFY, { method: "POST", headers, body });
    if (answer.status !== 429 || seconds > 8) return answer;
    await new Promise((resolve) => setTimeout(resolve, seconds * (500 + 1000 * Math.random())));
  }
}

// Without storage there are no cookies either, and the check of those says so.
function passes() {
  try {
    const since = Date.now() - PASSES_WITHIN_MS;
    return JSON.parse(sessionStorage.getItem(PASSES) ?? "[]").filter((time) => time > since);
  } catch {
    return [];
  }
}

function goOn() {
  try {
    sessionStorage.setItem(PASSES, JSON.stringify([...passes(), Date.now()]));
  } catch {}
  const to = new URL(page.dataset.returnPath, location.origin);
  if (to.origin !== location.origin) return say("failed");
  say("done");
  // To go where we are already would lose what follows `#`.
  if (to.pathname + to.search === location.pathname + location.search) location.reload();
  else location.replace(to);
}

async function check() {
  if (!isSecureContext) return say("http");
  if (passes().length >= MAX_PASSES) return say("loop");
  say("working");
  const challenge = JSON.parse(page.dataset.challenge);
  const solution = await solve(challenge.parameters);
  const answer = await redeem(JSON.stringify({ challenge, solution })).catch(() => null);
  if (!answer) return say("away");
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    return say(problem.code === "challenge_expired" ? "expired" : "failed");
  }
  const kept = await fetch(`${VERIFY}?check=1`, { cache: "no-store" }).catch(() => null);
  if (!kept) return say("away");
  if (!kept.ok) return say(kept.status === 409 ? "cookies" : "failed");
  if ("replayable" in page.dataset) goOn();
  else say("send");
}

check().catch(() => say("failed"));
