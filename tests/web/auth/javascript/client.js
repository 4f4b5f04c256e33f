// Lets a test call the official client: each line of input is a call of one of its methods, each line of output what it
// gave. Node 20 has no WebSocket of its own, and the client wants one even where it is not used.
import { createInterface } from "node:readline";
import { createClient } from "@supabase/supabase-js";
import WebSocket from "ws";

const [url, key] = process.argv.slice(2);
const clients = new Map();

const clientOf = ({ client, options }) => {
  if (!clients.has(client)) {
    const auth = { autoRefreshToken: false, ...options };
    clients.set(client, createClient(url, key, { auth, realtime: { transport: WebSocket } }));
  }
  return clients.get(client);
};

const plain = (error) =>
  error && {
    name: error.name,
    message: error.message,
    status: error.status ?? null,
    code: error.code ?? null,
    reasons: error.reasons ?? null,
  };

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const { data, error } = await clientOf(call).auth[call.method](...call.args);
  console.log(JSON.stringify({ data: data ?? null, error: plain(error) ?? null }));
}
process.exit(0);
