-- Numbers: the amount that was reserved, what was used.
for i = 2, #KEYS do
  local r, err = row(i)
  if err then return err end
  local a = 4 + 4 * (i - 2)
  r.reserved = less(r.reserved, number(ARGV[a + 2]))
  r.used = bound(sum(r.used, number(ARGV[a + 3])))
end
for _, r in pairs(rows) do save(r) end
return {ARGV[1]}
