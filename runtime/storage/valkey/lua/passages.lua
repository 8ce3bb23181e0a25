-- KEYS: the record. ARGV: 3 prefix of the passages' key, 4 of the vectors' ('' = none), 5
-- version, 6 the first number, 7 how many, 8 how many bytes are enough. Returns passages
-- and vectors in turn.
local have = redis.call('HMGET', KEYS[1], 'tenant', 'version', 'as', 'passages')
if not have[1] or have[2] ~= ARGV[5] then return {ARGV[1]} end
if have[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s document')
end
local reply, size, first = {ARGV[1]}, 0, tonumber(ARGV[6])
for n = first, math.min(first + tonumber(ARGV[7]), tonumber(have[4])) - 1 do
  local text = redis.call('HGET', ARGV[3] .. have[3], n)
  local vector = ARGV[4] ~= '' and redis.call('HGET', ARGV[4] .. have[3], n) or ''
  if not text then break end
  reply[#reply + 1], reply[#reply + 2] = text, vector
  size = size + #text + #vector
  if size >= tonumber(ARGV[8]) then break end
end
return reply
