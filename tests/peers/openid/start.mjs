// A real OpenID Connect provider for the tests: people and groups come from a file that the tests write.
import { readFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node 18, Debian's own, has it under this name only

const { Provider } = await import('oidc-provider')
const [port, client, secret, redirect, file] = process.argv.slice(2)
const people = () => JSON.parse(readFileSync(file, 'utf8'))

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect], response_types: ['code'] }],
  pkce: { required: () => true },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['preferred_username', 'given_name', 'family_name', 'groups'],
  },
  cookies: { keys: ['only for these tests'] },
  async findAccount(_context, id) {
    const person = people()[id]
    return person && { accountId: id, claims: async () => ({ sub: id, ...person }) }
  },
})
provider.listen(Number(port), '127.0.0.1')
