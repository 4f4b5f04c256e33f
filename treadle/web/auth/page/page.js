// The pages for the first account and for a new password. What came behind the # is sent to no server but in the body
// of the one request that needs it, and leaves the address at once.
const came = new URLSearchParams(location.hash.slice(1));
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
  if (!answer.ok) throw new Error(said.msg ?? [said.error?.message, said.error?.details?.fix].filter(Boolean).join(" "));
  return said;
};

const acts = {
  async setup(values) {
    await send("POST", "/api/v2/setup", { token: came.get("token"), ...values });
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

if (came.get("error_description")) {
  say(came.get("error_description"), "bad");
} else if (!came.get("token") && !came.get("access_token")) {
  say("Open the whole link, with what stands behind its #.", "bad");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say("", "");
  try {
    say(await acts[form.dataset.does](Object.fromEntries(new FormData(form))), "good");
    form.hidden = true;
  } catch (error) {
    say(error.message || "That did not work.", "bad");
    button.disabled = false;
  }
});
