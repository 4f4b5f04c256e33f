// Opens one of our pages as a browser would, fills in its form, sends it, and tells what the page then says.
import { setTimeout as pause } from "node:timers/promises";
import { JSDOM, VirtualConsole } from "jsdom";

const [address, filled] = process.argv.slice(2);
const errors = [];
const virtualConsole = new VirtualConsole();
virtualConsole.on("jsdomError", (error) => errors.push(String(error)));
const page = await JSDOM.fromURL(address, {
  runScripts: "dangerously",
  resources: "usable",
  virtualConsole,
  beforeParse(window) {
    window.fetch = (path, options) => fetch(new URL(path, address), options);
  },
});
const { window } = page;
await new Promise((loaded) => window.addEventListener("load", loaded));
const form = window.document.getElementById("form");
const told = window.document.getElementById("told");
for (let waited = 0; waited < 300 && form.hidden && told.textContent === ""; waited += 1) await pause(100);
const before = told.textContent;
const asked = window.document.getElementById("asked")?.textContent ?? "";
for (const [name, value] of Object.entries(JSON.parse(filled))) {
  const element = form.elements[name];
  if (element.type === "checkbox") element.click();
  else if (!element.readOnly) element.value = value;
}
const email = form.elements.email?.value ?? "";
if (!form.hidden) form.requestSubmit();
for (let waited = 0; !form.hidden && waited < 300 && (told.textContent === before || told.textContent === ""); waited += 1) await pause(100);
console.log(
  JSON.stringify({
    before,
    asked,
    email,
    providers: [...window.document.querySelectorAll("#providers a")].map((each) => each.href),
    told: told.textContent,
    kind: told.className,
    address: window.location.href,
    errors,
  }),
);
window.close();
process.exit(0);
