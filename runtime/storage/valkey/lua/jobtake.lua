-- KEYS: open jobs by their turns. ARGV: 3 prefix of jobs, 4 worker, 5 now, 6 leases before
-- this have run out, 7 until, then kinds. There are a thousand jobs at the most.
local kinds = {}
for i = 8, #ARGV do kinds[ARGV[i]] = true end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[3] .. #id .. ':' .. id
  local have = redis.call('HMGET', key, 'tenant', 'state', 'lease', 'kind', 'attempts')
  if have[1] and have[1] ~= ARGV[2] then
    return redis.error_reply('FOREIGN the key holds another tenant\'s job')
  end
  if have[1] and kinds[have[4]] and (have[2] == 'queued' or tonumber(have[3]) < tonumber(ARGV[6])) then
    redis.call('HSET', key, 'state', 'running', 'worker', ARGV[4], 'updated', ARGV[5], 'lease', ARGV[7], 'attempts', tonumber(have[5]) + 1)
    return {ARGV[1], id, redis.call('HMGET', key, 'tenant', 'kind', 'caller', 'state', 'attempts', 'note', 'created', 'updated', 'lease')}
  end
end
return {ARGV[1]}
