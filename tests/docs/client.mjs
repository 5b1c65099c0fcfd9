// A WebSocket client on Node's own parts alone (RFC 6455): node client.mjs PORT TOKEN CHAT
import http from "node:http";
import { randomBytes } from "node:crypto";

const [port, token, chat] = process.argv.slice(2);

function frame(text) {
  const body = Buffer.from(text), mask = randomBytes(4);
  const head = body.length < 126 ? Buffer.from([0x81, 0x80 | body.length])
    : Buffer.from([0x81, 0x80 | 126, body.length >> 8, body.length & 255]);
  return Buffer.concat([head, mask, body.map((byte, i) => byte ^ mask[i % 4])]);
}

const request = http.request({
  port, host: "127.0.0.1", path: "/ws",
  headers: {
    Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
  },
});
const giveUp = setTimeout(() => process.exit(2), 20000);
request.on("upgrade", (_, socket, head) => {
  let data = head;
  const say = (command) => socket.write(frame(JSON.stringify(command)));
  const read = () => {
    while (data.length >= 2) {
      let length = data[1] & 127, at = 2;
      if (length === 126) { if (data.length < 4) return; length = data.readUInt16BE(2); at = 4; }
      if (data.length < at + length) return;
      const opcode = data[0] & 15, body = data.subarray(at, at + length);
      data = data.subarray(at + length);
      if (opcode === 1) heard(JSON.parse(body));
    }
  };
  const heard = (event) => {
    console.log(event.type);
    if (event.type === "connection.ready") {
      say({ type: "message.send", chat_id: chat, client_message_id: "1", content: { type: "text", text: "from Node" } });
    } else if (event.type === "message.new") {
      clearTimeout(giveUp);
      socket.end();
      process.exit(event.message.content.text === "from Node" ? 0 : 1);
    }
  };
  socket.on("data", (more) => { data = Buffer.concat([data, more]); read(); });
  say({ type: "connection.init", token });
  read();
});
request.end();
