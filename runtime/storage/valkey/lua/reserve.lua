-- Numbers: the most (all digits of 2^63-1 for no bound), the amount.
for i = 2, #KEYS do
  local r, err = row(i)
  if err then return err end
  local a = 4 + 4 * (i - 2)
  local most, amount = number(ARGV[a + 2]), number(ARGV[a + 3])
  if exceeds(sum(bound(sum(r.used, r.reserved)), amount), most) then
    return {ARGV[1], i - 1}
  end
  r.reserved = sum(r.reserved, amount)
end
for _, r in pairs(rows) do save(r) end
return {ARGV[1], 0}
