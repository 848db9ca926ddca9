// node tests/run.cjs PROGRAM.wasm: runs a test program (tests/bare.h), prints what it says, exits with its status
const fs = require('fs');
const wasm = new WebAssembly.Module(fs.readFileSync(process.argv[2]));
const program = new WebAssembly.Instance(wasm, { env: { say } }).exports;
function say(p) {
  const bytes = new Uint8Array(program.memory.buffer), end = bytes.indexOf(0, p);
  fs.writeSync(1, Buffer.from(bytes.buffer, p, end - p));
}
process.exit(program.run());
