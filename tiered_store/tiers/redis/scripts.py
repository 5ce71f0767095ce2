"""
What the server does in one step.

All keys of an object have one hash tag.  ``KEYS[1]`` is the copy, a hash of its header
``h`` and its bytes ``d``; ``KEYS[2]`` who may fill, or writes, a string; ``KEYS[3]``
what was sent and may become the copy.  Bytes never pass through a script, which would
cost four times as much as sending them.

.. code-block:: text

   F 1a2b            a reader fetches
   F 1a2b!           and another waits for it
   W 1a2b@99         a writer, whose claim ends at that millisecond
   W 1a2b@99 3c4d@98 several
   X 1a2b@99         one who was not alone

Only a writer who was alone all the time publishes.  Each script may be sent twice.
Losing a key, at any time, dooms fills and publishes nothing.  A server without memory
refuses only the first change of a script, and never one that makes room; so whatever
drops a copy does that first.
"""

from __future__ import annotations

import hashlib

from dataclasses import dataclass, field

from tiered_store.clients.wire import Words


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name under which the server remembers it."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)

    def call(self, keys: Words, arguments: Words) -> Words:
        """Return the command that runs it where it is known."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def taught(self, keys: Words, arguments: Words) -> Words:
        """Return the command that runs it anywhere, and makes it known."""
        return ("EVAL", self.text, len(keys), *keys, *arguments)


_LEASE_IS = """
local lease = redis.pcall('GET', KEYS[2])
if type(lease) ~= 'string' then lease = '' end
"""

_WAKE = """
local function wake(message)
  if lease:sub(-1) == '!' then redis.call('PUBLISH', ARGV[2], message) end
end
local mine = lease:match('^F (%x+)!?$') == ARGV[1]
"""

# others that write, and the millisecond when the last of their claims ends
_CLAIMS = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local others, last = '', now
if lease:find('^[WX] ') then
  for token, ends in lease:gmatch('(%x+)@(%d+)') do
    if token ~= ARGV[1] and tonumber(ends) > now then
      others = others .. ' ' .. token .. '@' .. ends
      last = math.max(last, tonumber(ends))
    end
  end
end
"""

# what ARGV offers: a header of its own, or nothing, for what was staged
_KEEP = """
local function keep(header, milliseconds)
  redis.call('UNLINK', KEYS[1])
  if header ~= '' then
    redis.call('HSET', KEYS[1], 'h', header)
  elseif redis.call('HLEN', KEYS[3]) == 2 then
    redis.call('RENAME', KEYS[3], KEYS[1])
  else
    redis.call('UNLINK', KEYS[3])
    return 0
  end
  if milliseconds == '' then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIRE', KEYS[1], milliseconds) end
  return 1
end
"""

#: token, milliseconds, "refresh" or nothing, the header that was rejected
LEASE = Script(
    """
local header = redis.pcall('HGET', KEYS[1], 'h')
if type(header) == 'table' or (header and header == ARGV[4]) then
  redis.call('UNLINK', KEYS[1])
  header = false
end
if header and ARGV[3] == '' then return 'hit' end
"""
    + _LEASE_IS
    + """
if lease:find('^[WX] ') then return 'writing' end
local leader, waits = lease:match('^F (%x+)(!?)$')
if leader and leader ~= ARGV[1] then
  if waits == '' then redis.pcall('SET', KEYS[2], lease .. '!', 'KEEPTTL') end
  return leader
end
redis.call('SET', KEYS[2], 'F ' .. ARGV[1], 'PX', ARGV[2])
return 'own'
"""
)

#: token, channel, message, header, milliseconds
FILL = Script(
    _LEASE_IS
    + _WAKE
    + _KEEP
    + """
if not mine then
  redis.call('UNLINK', KEYS[3])
  return 0
end
local kept = keep(ARGV[4], ARGV[5])
redis.call('UNLINK', KEYS[2])
wake(ARGV[3])
return kept
"""
)

#: token, channel, message
FAIL = Script(
    _LEASE_IS
    + _WAKE
    + """
if not mine then return 0 end
redis.call('UNLINK', KEYS[2])
wake(ARGV[3])
return 1
"""
)

#: token, channel, message, milliseconds
BEGIN = Script(
    _LEASE_IS
    + _CLAIMS
    + """
local ends = now + ARGV[4]
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
redis.call(
  'SET', KEYS[2], 'W' .. others .. ' ' .. ARGV[1] .. '@' .. ends,
  'PX', math.max(last, ends) - now
)
return 1
"""
)

#: token, channel, message, header, milliseconds, "purge" or nothing
END = Script(
    _LEASE_IS
    + _CLAIMS
    + _KEEP
    + """
local alone = lease:match('^W (%x+)@%d+$') == ARGV[1]
local kept = 0
if alone and ARGV[6] == '' then kept = keep(ARGV[4], ARGV[5])
else redis.call('UNLINK', KEYS[1], KEYS[3]) end
if others == '' then redis.call('UNLINK', KEYS[2])
else redis.call('SET', KEYS[2], 'X' .. others, 'PX', last - now) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return kept
"""
)

#: (unused), channel, message
PURGE = Script(
    _LEASE_IS
    + """
redis.call('UNLINK', KEYS[1])
if not lease:find('^[WX] ') then redis.call('UNLINK', KEYS[2]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""
)

#: KEYS[1] is the mark, ARGV a new one, the channel and the message
MARK = Script(
    """
local mark = redis.call('GET', KEYS[1])
if mark then return mark end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return ARGV[1]
"""
)

#: The same
CLEAR = Script(
    """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return ARGV[1]
"""
)
