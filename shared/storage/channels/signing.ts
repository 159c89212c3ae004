/** Signing of channel records: Ed25519 (RFC 8032), keys in PEM. A log is evidence only against a key or an anchor outside of it. */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { ThawError } from '../../protocol/index.js';
import type { ChannelRecord } from './record.js';
import { signedBytes } from './record.js';

export interface RecordSigner {
  readonly keyId: string;
  sign(record: ChannelRecord): NonNullable<ChannelRecord['signature']>;
}

export interface RecordVerifier {
  readonly keyId: string;
  /** Whether the record carries this key's signature over exactly its content. */
  verify(record: ChannelRecord): boolean;
}

/**
 * A signer from a private key in PEM (PKCS 8), as given in THAW_AUDIT_KEY.
 * @throws ThawError THAW_AUDIT_KEY_INVALID; the message never repeats the key
 */
export function recordSigner(privateKeyPem: string): RecordSigner {
  const key = readKey(() => createPrivateKey(privateKeyPem), 'private');
  const keyId = keyIdOf(createPublicKey(key));
  return { keyId, sign: (record) => ({ keyId, value: sign(null, signedBytes(record), key).toString('base64') }) };
}

/**
 * A verifier from a public key in PEM (SPKI); a private key is accepted as well, its public half is used.
 * @throws ThawError THAW_AUDIT_KEY_INVALID
 */
export function recordVerifier(publicKeyPem: string): RecordVerifier {
  const key = readKey(() => createPublicKey(publicKeyPem), 'public');
  const keyId = keyIdOf(key);
  return {
    keyId,
    verify: (record) =>
      record.signature?.keyId === keyId &&
      verify(null, signedBytes(record), key, Buffer.from(record.signature.value, 'base64')),
  };
}

function readKey(read: () => KeyObject, kind: string): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch {
    // The cause is left out: it could quote the key.
    throw new ThawError('THAW_AUDIT_KEY_INVALID', `The audit key is not a ${kind} key in PEM form.`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new ThawError(
      'THAW_AUDIT_KEY_INVALID',
      `The audit key is of type ${String(key.asymmetricKeyType)}, not ed25519.`,
    );
  return key;
}

function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
}
