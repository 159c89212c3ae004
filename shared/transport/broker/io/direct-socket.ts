/**
 * Reads of an accepted connection straight into buffers of our choice. Node offers that (`onread`) for sockets one
 * creates, not for accepted ones; so the accepted handle is wrapped again. Where Node's internals should not allow
 * that, ordinary reads do the same with one copy.
 */
import net from 'node:net';

export interface DirectReads {
  /** Where the next bytes should land. */
  buffer(): Uint8Array;
  /** Bytes have landed in the buffer just given. */
  received(count: number, into: Uint8Array): void;
  /** The same bytes by the ordinary way. */
  push(bytes: Uint8Array): void;
}

interface SocketWithHandle {
  _handle?: object | null;
}

/** `accepted` must come from a server with `pauseOnConnect`; use only the returned socket from here on. Reading begins at once. */
export function readDirectly(accepted: net.Socket, reads: DirectReads): net.Socket {
  const holder = accepted as unknown as SocketWithHandle;
  const handle = holder._handle;
  if (handle === undefined || handle === null) {
    accepted.on('data', (chunk: Buffer) => reads.push(chunk));
    return accepted;
  }
  holder._handle = null;
  accepted.destroy();
  const options = {
    handle,
    manualStart: true,
    onread: {
      buffer: () => reads.buffer(),
      callback: (count: number, into: Uint8Array) => {
        reads.received(count, into);
        return true;
      },
    },
  };
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts);
  socket.read(0);
  return socket;
}
