-- KEYS: index of hours, the buckets of one hour. ARGV: 3 hour, 4 bucket, 5 hours that
-- have run out, 6 time to live in milliseconds, then what is added.
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[2], 'tenant', ARGV[2])
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
local sums, old = {}, redis.call('HGET', KEYS[2], ARGV[4])
for have in string.gmatch(old or '0 0 0 0 0', '%d+') do
  sums[#sums + 1] = digits(bound(sum(number(have), number(ARGV[7 + #sums]))))
end
redis.call('HSET', KEYS[2], ARGV[4], table.concat(sums, ' '))
return {ARGV[1]}
