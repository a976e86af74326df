"""Trains whale.safetensors in PyTorch, and shows how a model from there becomes a checkpoint that opens here.

    python3 whale.py moby-dick.txt [minutes]

A checkpoint is a safetensors file: the state dict under PyTorch's names, and one entry of metadata that tells the
model's kind and sizes and the tokenizer. The file is 8 bytes of header length, a JSON header, then the data.
"""

import json
import struct
import sys
import time

import torch
from torch import nn

BATCH, STEPS, EMBEDDING, HIDDEN, RATE = 32, 64, 32, 112, 8e-3


class LanguageModel(nn.Module):
    """As RecurrentLanguageModel: embedding, LSTM, linear head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(256, EMBEDDING)
        self.rnn = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.decoder = nn.Linear(HIDDEN, 256)

    def forward(self, tokens, state):
        output, state = self.rnn(self.encoder(tokens), state)
        return self.decoder(output), state


def train(text, minutes):
    torch.manual_seed(1)
    model = LanguageModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0)
    ids = torch.tensor(list(text))
    columns = (len(ids) - 1) // BATCH
    inputs = ids[: BATCH * columns].view(BATCH, columns)
    targets = ids[1 : BATCH * columns + 1].view(BATCH, columns)
    begin, at, state, step = time.time(), 0, None, 0
    while (done := (time.time() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * max(0.03, 1 - done)
        if at + STEPS > columns:
            at, state = 0, None
        logits, state = model(inputs[:, at : at + STEPS], state)
        state = tuple(part.detach() for part in state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, at : at + STEPS].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        at, step = at + STEPS, step + 1
        if step % 100 == 0:
            print(f"step {step}, loss {loss.item():.3f}", flush=True)
    return model


def save(state, config, tokenizer, path):
    tensors, data = {}, b""
    for name, tensor in state.items():
        values = tensor.detach().float().contiguous().numpy().tobytes()
        tensors[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    about = {"config": config, "tokenizer": tokenizer, "training": None}
    header = json.dumps({"__metadata__": {"ostinato": json.dumps(about)}, **tensors}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + data)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        model = train(file.read(), float(sys.argv[2]) if len(sys.argv) > 2 else 15)
    sizes = {"vocabSize": 256, "embeddingSize": EMBEDDING, "hiddenSize": HIDDEN, "numLayers": 1, "dropout": 0}
    save(model.state_dict(), {"kind": "lstm", **sizes}, {"kind": "bytes"}, "whale.safetensors")
