"""
What the server does in one step.

Rows and what is known of the journal as a whole are fields of one hash, so that a
look-up of an object's rows also tells whether they are still those of this journal.
The name of an object has four spaces, so it is none of the other fields.

What a rule makes of rows is decided by whoever asks; a script only checks that they
still are what the rule has seen.
"""

# KEYS: the hash.  ARGV: identity, schema.
OPEN = """
if redis.call('HEXISTS', KEYS[1], 'identity') == 0 then
  redis.call('HSET', KEYS[1],
             'identity', ARGV[1], 'schema', ARGV[2], 'size', 0, 'changes', 0)
elseif tonumber(redis.call('HGET', KEYS[1], 'schema')) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'schema', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'identity', 'schema', 'changes')
"""

# KEYS: the hash, names in order, counts, sorted sets to change.
# ARGV: identity, name, rows as seen, rows to be, growth, capacity, number of counts,
# each count and by how much it changes, for each sorted set the score or nothing.
UPDATE = """
local state = redis.call('HMGET', KEYS[1], 'identity', 'size', 'changes', ARGV[2])
if state[1] ~= ARGV[1] then return {'replaced', state[1] or '', 0} end
if (state[4] or '') ~= ARGV[3] then
  return {'changed', state[4] or '', state[3]}
end
local growth = tonumber(ARGV[5])
if growth > 0 and tonumber(state[2]) + growth > tonumber(ARGV[6]) then
  return {'full', state[2], state[3]}
end
if ARGV[3] == ARGV[4] then return {'done', '', state[3]} end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
  if ARGV[3] == '' then redis.call('ZADD', KEYS[2], 0, ARGV[2]) end
end
if growth ~= 0 then redis.call('HINCRBY', KEYS[1], 'size', growth) end
local at = 8
for _ = 1, tonumber(ARGV[7]) do
  redis.call('HINCRBY', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for number = 4, #KEYS do
  if ARGV[at] == '' then redis.call('ZREM', KEYS[number], ARGV[2])
  else redis.call('ZADD', KEYS[number], ARGV[at], ARGV[2]) end
  at = at + 1
end
return {'done', '', redis.call('HINCRBY', KEYS[1], 'changes', 1)}
"""

# KEYS: the lease.  ARGV: owner, number, milliseconds.
TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
"""

# KEYS: leases.  ARGV: owner, milliseconds, the number of each.
RENEW = """
for at, lease in ipairs(KEYS) do
  if redis.call('GET', lease) == ARGV[1] .. ' ' .. ARGV[2 + at] then
    redis.call('PEXPIRE', lease, ARGV[2])
  end
end
"""

# KEYS: the lease.  ARGV: owner, number.
DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. ARGV[2] then
  redis.call('DEL', KEYS[1])
end
"""
