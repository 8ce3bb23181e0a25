-- KEYS: index of entries, the entry. ARGV: 3 value, 4 time to live in milliseconds. The
-- index goes by the server's clock: one replica whose clock is fast would else strike out
-- what others have put, and Clear miss it.
local life, clock = tonumber(ARGV[4]), redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2] .. ARGV[3], 'PX', life)
redis.call('ZADD', KEYS[1], now + life, KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1000)
if redis.call('PTTL', KEYS[1]) < life + 1000 then
  redis.call('PEXPIRE', KEYS[1], life + 1000)
end
return {ARGV[1]}
