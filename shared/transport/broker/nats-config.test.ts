import { describe, expect, it } from 'vitest';
import { isPlainToken, isUsableNatsVersion, natsServerConfig, parseNatsVersion } from './nats-config.js';

describe('nats-server', () => {
  it.each([
    ['nats-server: v2.9.10\n', '2.9.10', true],
    ['nats-server: v2.15.2', '2.15.2', true],
    ['nats-server: v2.11.0-RC.1', '2.11.0-RC.1', true],
    ['nats-server: v2.8.4', '2.8.4', false],
    ['nats-server version 1.4.1', '1.4.1', false],
    ['nats-server: v3.0.0', '3.0.0', true],
  ])('%j is version %s, usable %s', (text, version, usable) => {
    expect(parseNatsVersion(text)).toBe(version);
    expect(isUsableNatsVersion(version)).toBe(usable);
  });
  it('does not take something else for it', () => {
    expect(parseNatsVersion('bash: command not found')).toBeUndefined();
  });
  it('is told to take a free port itself and to keep system events apart', () => {
    const config = natsServerConfig({
      host: '127.0.0.1',
      port: 0,
      portsDir: '/tmp/x "y"',
      maxPayloadBytes: 8388608,
      token: 'abc',
      systemPassword: 'def',
    });
    expect(config).toContain('listen: "127.0.0.1:-1"');
    expect(config).toContain('ports_file_dir: "/tmp/x \\"y\\""');
    expect(config).toContain('max_payload: 8388608');
    expect(config).toContain('publish: { deny: ">" }');
  });
  it.each([
    ['abc-_.~+/=9', true],
    ['', false],
    ['$2a$10$abc', false],
    ['a"b', false],
    ['a\nb', false],
    ['a b', false],
  ])('token %j is plain: %s', (token, plain) => {
    expect(isPlainToken(token)).toBe(plain);
  });
});
