// Loads both native modules and does one real thing with each.
import { readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import * as ort from 'onnxruntime-node';

const db = new Database(':memory:');
db.exec('CREATE TABLE sample (time INTEGER PRIMARY KEY, value REAL) WITHOUT ROWID');
const insert = db.prepare('INSERT INTO sample VALUES (?, ?)');
db.transaction(() => {
  for (let i = 0; i < 1000; i++) insert.run(1_700_000_000_000 + i, i / 8);
})();
const row = db.prepare('SELECT count(*) AS n, sum(value) AS sum, max(time) AS last FROM sample').get();
db.close();

const { type, data, dims } = new ort.Tensor('float32', Float32Array.of(1, 2, 3), [3, 1]);
console.log(
  JSON.stringify({
    arch: process.arch,
    // What onnxruntime reads to choose its kernels.
    dotProduct: /^Features.*\basimddp\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')),
    row,
    backends: ort.listSupportedBackends().map(({ name }) => name),
    tensor: { type, dims, data: [...data] },
  }),
);
