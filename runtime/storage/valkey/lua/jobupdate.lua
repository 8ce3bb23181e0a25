-- KEYS: queue, open jobs, jobs that ended, the job. ARGV: 3 id, 4 worker, 5 state, 6 note,
-- 7 now, 8 until, 9 whether it ends, 10 for how long it stays then, in milliseconds. Returns
-- whether it was the worker's.
local call = redis.call
local have = call('HMGET', KEYS[4], 'tenant', 'state', 'worker', 'size', 'at', 'pieces')
if have[1] and have[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s job')
end
if not have[1] or have[2] ~= 'running' or have[3] ~= ARGV[4] then return {ARGV[1], 0} end
if ARGV[5] == 'running' then
  call('HSET', KEYS[4], 'note', ARGV[6], 'updated', ARGV[7], 'lease', ARGV[8])
  return {ARGV[1], 1}
end
call('HSET', KEYS[4], 'state', ARGV[5], 'note', ARGV[6], 'updated', ARGV[7], 'lease', 0, 'worker', '')
local queue = call('HMGET', KEYS[1], 'turn', 'bytes')
if ARGV[9] == '0' then
  local turn = tonumber(queue[1] or 0) + 1
  call('HSET', KEYS[1], 'tenant', ARGV[2], 'turn', turn)
  call('ZADD', KEYS[2], turn, ARGV[3])
  return {ARGV[1], 1}
end
call('HSET', KEYS[1], 'tenant', ARGV[2], 'bytes', math.max(0, tonumber(queue[2] or 0) - tonumber(have[4])))
call('ZREM', KEYS[2], ARGV[3])
for i = 0, tonumber(have[6]) - 1 do call('UNLINK', have[5] .. i) end
call('HSET', KEYS[4], 'pieces', 0)
call('PEXPIRE', KEYS[4], ARGV[10])
local clock = call('TIME')
local ends = clock[1] * 1000 + tonumber(ARGV[10])
call('ZADD', KEYS[3], string.format('%.0f', ends), ARGV[3])
call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. string.format('%.0f', clock[1] * 1000))
call('PEXPIRE', KEYS[3], ARGV[10])
return {ARGV[1], 1}
