-- KEYS: index of entries, the entry. ARGV: 3 value, 4 time to live, 5 now, both in
-- milliseconds. The index names an entry for a minute longer than it lives, for
-- replicas whose clocks differ.
local life, now = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('SET', KEYS[2], ARGV[2] .. ARGV[3], 'PX', life)
redis.call('ZADD', KEYS[1], now + life, KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 6e4)
if redis.call('PTTL', KEYS[1]) < life + 6e4 then
  redis.call('PEXPIRE', KEYS[1], life + 6e4)
end
return {ARGV[1]}
