"""A vLLM server as far as AReaL's `RemotevLLMEngine` asks it, around a model of transformers' on a CPU.

It samples at temperature 1 by the weights that AReaL wrote last, and gives the log-prob of every token.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AutoModelForCausalLM


class Server:
    """Serve a model until `close`; `address` is what AReaL is told, `loads` counts weight updates."""

    def __init__(self, model):
        self.lock, self.random, self.loads = threading.Lock(), torch.Generator().manual_seed(0), 0
        self.model = AutoModelForCausalLM.from_pretrained(model).eval()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"of": self}))
        self.address = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path, asked):
        with self.lock:
            if path == "/v1/completions":
                return self.complete(asked)
            if path == "/areal_update_weights":
                self.model = AutoModelForCausalLM.from_pretrained(asked["model_path"]).eval()
                self.loads += 1
        return {"success": True}

    @torch.no_grad()
    def complete(self, asked):
        assert asked["ignore_eos"] and asked["temperature"] == asked["top_p"] == 1.0, asked
        ids, of_tokens = list(asked["prompt"]), []
        for _ in range(asked["max_tokens"]):
            logp = torch.log_softmax(self.model(torch.tensor([ids])).logits[0, -1], -1)
            ids.append(int(torch.multinomial(logp.exp(), 1, generator=self.random)))
            of_tokens.append(float(logp[ids[-1]]))
        named = [f"token_id:{token}" for token in ids[len(asked["prompt"]) :]]
        return {"choices": [{"finish_reason": "length", "logprobs": {"tokens": named, "token_logprobs": of_tokens}}]}


class Handler(BaseHTTPRequestHandler):
    """One request: a health check, or JSON."""

    of: Server

    def do_GET(self):
        self.reply({})

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(self.of.answer(self.path, json.loads(asked or "{}")))

    def reply(self, found):
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
