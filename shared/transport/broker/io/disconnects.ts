/** Who has left, as the broker sees it: the fastest sign that a process has died. */
import { randomUUID } from 'node:crypto';
import { connectControl } from '../../control/io/nats-control-link.js';
import type { Credentials, StopListening } from '../../links.js';
import type { DisconnectNotice } from '../handle.js';

/**
 * Calls `listener` for every ordinary client whose connection ends. Notices are lost while the watcher itself is
 * disconnected: heartbeats remain the ground truth. Needs the system credentials of a broker that we started.
 */
export async function watchDisconnects(
  url: string,
  credentials: Credentials,
  listener: (notice: DisconnectNotice) => void,
): Promise<StopListening> {
  const link = await connectControl(url, { ...credentials, name: `disconnect-watcher-${randomUUID().slice(0, 8)}` });
  link.subscribe('$SYS.ACCOUNT.*.DISCONNECT', (bytes) => {
    const notice = parseNotice(bytes);
    if (notice) listener(notice);
  });
  await link.flush();
  return () => void link.close();
}

function parseNotice(bytes: Uint8Array): DisconnectNotice | undefined {
  try {
    const { client, reason } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
      client?: { name?: unknown };
      reason?: unknown;
    };
    return typeof client?.name === 'string' ? { clientName: client.name, reason: String(reason ?? '') } : undefined;
  } catch {
    return undefined;
  }
}
