// A process that writes to an object store until it is done or killed. Runs on the build.
// Arguments: address, key, writer's name, how often, 'swap' or 'create'.
import { openStore } from '@thaw/shared/storage';

const [address, key, name, times, mode] = process.argv.slice(2);
const store = await openStore(address);
const encode = (value) => new TextEncoder().encode(JSON.stringify(value));
const say = (line) => process.stdout.write(`${line}\n`);
say('ready');

if (mode === 'create') {
  for (let index = 0; index < Number(times); index += 1) {
    const { created } = await store.putIfAbsent(`${key}-${index}`, encode({ name, padding: 'x'.repeat(50_000) }));
    if (created) say(`created ${index}`);
  }
} else {
  for (let done = 0; done < Number(times);) {
    const present = await store.get(key);
    const log = JSON.parse(new TextDecoder().decode(present.bytes));
    const entry = `${name}.${done}`;
    const { swapped } = await store.compareAndSwap(key, encode([...log, entry]), present.etag);
    if (!swapped) continue;
    say(`swapped ${entry}`);
    done += 1;
  }
}
say('done');
