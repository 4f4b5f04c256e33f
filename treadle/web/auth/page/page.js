// The pages for the first account, for whoever is invited, and for a new password, and the one to which all else leads.
// What came behind the # is sent to no server but in the body of the one request that needs it, and leaves the address
// at once.
const came = new URLSearchParams(location.hash.slice(1));
const signedIn = came.has("access_token") || new URLSearchParams(location.search).has("code");
history.replaceState(null, "", location.pathname);

const form = document.getElementById("form");
const told = document.getElementById("told");

const say = (text, kind) => {
  told.textContent = text;
  told.className = kind;
};

const send = async (method, path, body, token) => {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, body: JSON.stringify(body) });
  const said = answer.status === 204 ? {} : await answer.json();
  if (answer.ok) return said;
  if ((said.error_code ?? said.error?.details?.reason) === "otp_expired") throw new Error(form.dataset.spent);
  throw new Error(sentences(said.msg ?? said.error?.message, said.error?.details?.fix));
};

const sentences = (...texts) => texts.filter(Boolean).map((each) => (/[.!?]$/.test(each) ? each : `${each}.`)).join(" ");

const open = () => {
  form.hidden = false;
  form.querySelector("input:not([readonly]):not([type=checkbox])").focus();
};

const acts = {
  async setup(values) {
    await send("POST", "/api/v2/setup", { token: came.get("token"), ...values });
    return "The account is made. You can sign in with it from now on.";
  },
  async invitation({ email, password, name }) {
    if (known.checked) {
      const { access_token } = await send("POST", "/auth/v1/token?grant_type=password", { email, password });
      const joined = await send("POST", "/api/v2/invitations/accept", { token: came.get("token") }, access_token);
      return `You are a member of ${joined.name} from now on.`;
    }
    const data = { invitation: came.get("token"), ...(name ? { name } : {}) };
    const made = await send("POST", "/auth/v1/signup", { email, password, data });
    if (!made.access_token) return "Nearly done: open the link in the mail that was sent to you.";
    return "The account is made. You can sign in with it from now on.";
  },
  async reset({ password }) {
    if (!came.get("access_token")) {
      const body = { type: "recovery", token_hash: came.get("token") };
      came.set("access_token", (await send("POST", "/auth/v1/verify", body)).access_token);
    }
    await send("PUT", "/auth/v1/user", { password }, came.get("access_token"));
    return "The password is changed. You can sign in with it from now on.";
  },
};

// Whoever is invited may go to a provider and come back here: with a session, or with what went wrong there.
const known = document.getElementById("known");
const kept = "treadle.invitation";
if (known && !came.get("token") && (came.get("access_token") || came.get("error_description"))) {
  if (sessionStorage.getItem(kept)) came.set("token", sessionStorage.getItem(kept));
  sessionStorage.removeItem(kept);
}

if (came.get("error_description")) {
  const again = form ? "" : "Begin again at the page from which you came.";
  say(sentences(came.get("error_description"), again), "bad");
} else if (form && !came.get("token") && !came.get("access_token")) {
  say("Open the whole link, with what stands behind its #.", "bad");
} else if (form?.dataset.does === "reset") {
  open();
}

const isNew = async () => (await (await fetch("/api/v2/setup")).json()).needed;

const showSetup = async () => {
  if (await isNew()) return open();
  document.getElementById("about").hidden = true;
  say("This installation is set up already. Whoever administers it can invite you.", "bad");
};

const showStart = async () => {
  if (signedIn) say("You are signed in. Go back to the program that sent you here.", "good");
  document.getElementById("first").hidden = !(await isNew());
};

if (form?.dataset.does === "setup" && came.get("token")) showSetup().catch((error) => say(error.message, "bad"));
if (!form) showStart().catch((error) => say(error.message, "bad"));

const showInvitation = async () => {
  const asked = document.getElementById("asked");
  const email = form.elements.email;
  const seen = await send("POST", "/api/v2/invitations/lookup", { token: came.get("token") });
  const to = seen.workspace_name ? `the workspace “${seen.workspace_name}” as ${seen.role}` : "this installation";
  asked.textContent = `${seen.inviter_name || "Somebody"} invites ${seen.email} to ${to}.`;
  known.parentElement.hidden = !seen.workspace_name;
  const show = () => {
    for (const each of document.querySelectorAll(".new")) each.hidden = known.checked;
    if (!known.checked) email.value = seen.email;
    email.readOnly = !known.checked;
    form.elements.password.autocomplete = known.checked ? "current-password" : "new-password";
    form.querySelector("button").textContent = known.checked ? "Sign in and accept" : "Make the account";
  };
  known.addEventListener("change", show);
  show();
  await offerProviders();
  open();
};

const offerProviders = async () => {
  const { external } = await (await fetch("/auth/v1/settings")).json();
  for (const [provider, name] of [["github", "GitHub"], ["google", "Google"]]) {
    if (!external[provider]) continue;
    const link = document.createElement("a");
    const wanted = { provider, redirect_to: location.pathname, invite_token: came.get("token") };
    link.href = `/auth/v1/authorize?${new URLSearchParams(wanted)}`;
    link.textContent = `Continue with ${name}`;
    link.addEventListener("click", () => sessionStorage.setItem(kept, came.get("token")));
    document.getElementById("providers").append(link);
  }
};

const cameBack = async () => {
  // An account that was just made has used the invitation up. One that was there before has not.
  const body = { token: came.get("token") };
  const joined = came.get("token")
    ? await send("POST", "/api/v2/invitations/accept", body, came.get("access_token")).catch(() => null)
    : null;
  say(joined ? `You are a member of ${joined.name} from now on.` : "You can sign in like this from now on.", "good");
};

if (known && came.get("access_token")) {
  cameBack();
} else if (known && came.get("token")) {
  showInvitation().catch((error) => say(error.message, "bad"));
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say("", "");
  try {
    say(await acts[form.dataset.does](Object.fromEntries(new FormData(form))), "good");
    form.hidden = true;
    document.getElementById("next").hidden = false;
  } catch (error) {
    say(error.message || "That did not work.", "bad");
    button.disabled = false;
  }
});
