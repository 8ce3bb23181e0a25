-- KEYS: queue, open jobs by their turns, jobs that ended, the job, pieces of its payload.
-- ARGV: 3 id, 4 kind, 5 caller, 6 note, 7 made, 8 size, 9 most jobs, 10 most bytes, 11 what
-- its pieces' keys begin with. Returns 0; 1 for an id that is taken, 2 if too much is open.
local call = redis.call
local have = call('HMGET', KEYS[1], 'tenant', 'turn', 'bytes')
if have[1] and have[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s jobs')
end
local function refuse(why)
  for i = 5, #KEYS do call('UNLINK', KEYS[i]) end
  return {ARGV[1], why}
end
if call('EXISTS', KEYS[4]) == 1 then return refuse(1) end
local bytes = tonumber(have[3] or 0) + tonumber(ARGV[8])
if call('ZCARD', KEYS[2]) >= tonumber(ARGV[9]) or bytes > tonumber(ARGV[10]) then return refuse(2) end
-- A piece may have run out while the others were sent.
for i = 5, #KEYS do
  if call('PERSIST', KEYS[i]) == 0 then return refuse(3) end
end
local turn = tonumber(have[2] or 0) + 1
call('HSET', KEYS[1], 'tenant', ARGV[2], 'turn', turn, 'bytes', bytes)
call('ZADD', KEYS[2], turn, ARGV[3])
call('HSET', KEYS[4], 'tenant', ARGV[2], 'kind', ARGV[4], 'caller', ARGV[5], 'state', 'queued', 'attempts', 0, 'note', ARGV[6],
  'created', ARGV[7], 'updated', ARGV[7], 'lease', 0, 'worker', '', 'size', ARGV[8], 'at', ARGV[11], 'pieces', #KEYS - 4)
return {ARGV[1], 0}
