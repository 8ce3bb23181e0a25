-- KEYS: staged passages. ARGV: 2 and 3 the first number and the one after the last. Returns
-- whether all are there.
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) - 1 do
  if redis.call('HEXISTS', KEYS[1], n) == 0 then return {ARGV[1], 0} end
end
return {ARGV[1], 1}
