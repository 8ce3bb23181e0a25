-- KEYS: a record for each. ARGV from 3: prefix of the vectors' key, version and number of
-- each.
local reply = {ARGV[1]}
for i, key in ipairs(KEYS) do
  local a = 3 * i
  local have = redis.call('HMGET', key, 'tenant', 'version', 'as', 'passages')
  if have[1] and have[1] ~= ARGV[2] then
    return redis.error_reply('FOREIGN the key holds another tenant\'s document')
  end
  local there = have[1] and have[2] == ARGV[a + 1] and tonumber(ARGV[a + 2]) < tonumber(have[4])
  reply[#reply + 1] = there and redis.call('HGET', ARGV[a] .. have[3], ARGV[a + 2]) or ''
end
return reply
