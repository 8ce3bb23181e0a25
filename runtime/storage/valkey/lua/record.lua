-- KEYS: audit, counter. ARGV: 3 time in milliseconds, 4 record, 5 times that have run
-- out, 6 time to live in milliseconds.
local number = struct.pack('>i8', redis.call('INCRBY', KEYS[2], 1))
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2] .. number .. ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return {ARGV[1]}
