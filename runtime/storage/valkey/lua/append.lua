-- A session is a list: its messages, oldest first, each with its time in front, and at
-- the end a head of the tenant (16 bytes), the session's number, when it was made and
-- when it was updated. The list of a session is whole or isn't there.
-- KEYS: session, index of all, index of the caller, index of names, counter.
-- ARGV: 3 caller, 4 id, 5 its bare id, 6 how many messages stay (0 = all), 7 time to
-- live in milliseconds (0 = for ever), then time and text of each message.
local first = tonumber(ARGV[8])
local session, made, updated = 0, first, first - 1
local head = redis.call('LINDEX', KEYS[1], -1)
if head then
  if string.sub(head, 1, 16) ~= ARGV[2] then
    return redis.error_reply('FOREIGN the key holds another tenant\'s session')
  end
  session, made, updated = struct.unpack('>i8i8i8', head, 17)
else
  session = redis.call('INCRBY', KEYS[5], 1)
end

local move = math.max(0, updated + 1 - first)
local rows = {}
for i = 8, #ARGV, 2 do
  updated = math.max(updated, tonumber(ARGV[i]) + move)
  rows[#rows + 1] = struct.pack('>i8', tonumber(ARGV[i]) + move) .. ARGV[i + 1]
  if #rows == 1000 then
    redis.call('RPUSH', KEYS[1], unpack(rows))
    rows = {}
  end
end
rows[#rows + 1] = ARGV[2] .. struct.pack('>i8i8i8', session, made, updated)
redis.call('RPUSH', KEYS[1], unpack(rows))
-- The old head goes only now: what a server refuses, it refuses at the first write.
if head then
  redis.call('LREM', KEYS[1], -1, head)
end
local keep, ttl = tonumber(ARGV[6]), tonumber(ARGV[7])
if keep > 0 then
  redis.call('LTRIM', KEYS[1], -keep - 1, -1)
end

local number = struct.pack('>i8', session)
redis.call('ZADD', KEYS[2], updated, number .. ARGV[3] .. ARGV[4])
redis.call('ZADD', KEYS[3], updated, number .. ARGV[5])
if not head then
  redis.call('ZADD', KEYS[4], 0, ARGV[4] .. ARGV[3])
end
-- The indexes outlive what they name by a day, so that expiry finds it: one that names
-- others and has no end keeps none, since one of those may have none.
for i, slack in ipairs({0, 864e5, 864e5, 864e5}) do
  local left = redis.call('PTTL', KEYS[i])
  if ttl == 0 then
    redis.call('PERSIST', KEYS[i])
  elseif i == 1 or left >= 0 and left < ttl + slack or left < 0 and redis.call('ZCARD', KEYS[i]) == 1 then
    redis.call('PEXPIRE', KEYS[i], ttl + slack)
  end
end
return {ARGV[1]}
