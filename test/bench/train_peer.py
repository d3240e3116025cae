# The peer of train.ts: the same training step in PyTorch on one thread. Arguments: cell hidden batch seconds.
# Prints the version and windows a second (median over rounds). A build without MKL is much the slower: it is named.
import statistics
import sys
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(1)
cell, hidden, batch, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
T, INPUTS, LEADS, LEVELS = 96, 12, 24, 9


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        if cell.startswith("rnn-"):
            self.cell = torch.nn.RNN(INPUTS, hidden, nonlinearity=cell[4:])
        else:
            self.cell = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](INPUTS, hidden)
        self.head = torch.nn.Linear(hidden, LEADS * LEVELS)

    def forward(self, x):
        states, _ = self.cell(x)
        return self.head(states[-1]).view(-1, LEADS, LEVELS)


net = Net()
optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
levels = torch.arange(1, LEVELS + 1) / (LEVELS + 1)
x = torch.randn(T, batch, INPUTS)
target = torch.randn(batch, LEADS, 1)


def step():
    optimiser.zero_grad()
    error = target - net(x)
    loss = 2 * torch.maximum(levels * error, (levels - 1) * error).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()


for _ in range(3):
    step()
rates = []
deadline = time.perf_counter() + seconds
while time.perf_counter() < deadline:
    started = time.perf_counter()
    for _ in range(10):
        step()
    rates.append(10 * batch / (time.perf_counter() - started))
kind = "" if torch.backends.mkl.is_available() else "-without-MKL"
print(torch.__version__ + kind, statistics.median(rates))
