-- The ciphers of the sealed suites, for trunkline.lua: HKDF-Expand (RFC 5869), AES-GCM (NIST SP 800-38D),
-- ChaCha20-Poly1305 (RFC 8439). In plain Lua: the Wireshark of Debian 12 gives its scripts no cipher.
--
-- The idea: bytes are strings, words are what Wireshark's `bit` makes of them (signed, 32 bits), the same in
-- the Lua 5.2 and the Lua 5.4 that Wireshark comes with. It opens and never seals. It is no place for
-- secrets of a running node: nothing here is constant-time or wiped. Cost: 3 to 8 ms per 1200 bytes.

local bit = bit
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local shl, shr, rol, ror, tobit = bit.lshift, bit.rshift, bit.rol, bit.ror, bit.tobit
local floor = math.floor

-- ---- words and strings

local function be32(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  return bor(shl(a, 24), shl(b, 16), shl(c, 8), d)
end
local function put_be32(w)
  return string.char(shr(w, 24), band(shr(w, 16), 255), band(shr(w, 8), 255), band(w, 255))
end
local function le32(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  return bor(shl(d, 24), shl(c, 16), shl(b, 8), a)
end
local function put_le32(w)
  return string.char(band(w, 255), band(shr(w, 8), 255), band(shr(w, 16), 255), shr(w, 24))
end
-- The length of a string as a 64-bit number of bits or bytes.
local function put_be64(n)
  return put_be32(floor(n / 4294967296)) .. put_be32(tobit(n % 4294967296))
end
local function put_le64(n)
  return put_le32(tobit(n % 4294967296)) .. put_le32(floor(n / 4294967296))
end
local function padded(s, block)
  return s .. string.rep("\0", -#s % block)
end
-- As many bytes as the shorter one has.
local function xor(a, b)
  local n, out = math.min(#a, #b), {}
  for i = 1, n do out[i] = string.char(bxor(a:byte(i), b:byte(i))) end
  return table.concat(out)
end

-- ---- SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF-Expand

-- The first 32 bits of the fractional parts of the cube roots, and the square roots, of the first primes.
local round_constants, first_hash = {}, {}
do
  local n = 2
  while #round_constants < 64 do
    local prime = true
    for d = 2, n - 1 do
      if n % d == 0 then prime = false; break end
    end
    if prime then
      -- x^(1/3) of a double is exact to 53 bits, which leaves 47 or more for the fraction.
      local function fraction(x) return tobit(floor((x % 1) * 4294967296)) end
      if #first_hash < 8 then first_hash[#first_hash + 1] = fraction(n ^ (1 / 2)) end
      round_constants[#round_constants + 1] = fraction(n ^ (1 / 3))
    end
    n = n + 1
  end
end

local function sha256(message)
  local h = { table.unpack(first_hash) }
  local text = message .. "\128"
  text = text .. string.rep("\0", (56 - #text) % 64) .. put_be64(#message * 8)
  local w = {}
  for at = 1, #text, 64 do
    for i = 1, 16 do w[i] = be32(text, at + 4 * (i - 1)) end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), shr(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), shr(y, 10))
      w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, k = table.unpack(h)
    for i = 1, 64 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local t1 = k + s1 + bxor(band(e, f), band(bnot(e), g)) + round_constants[i] + w[i]
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local t2 = s0 + bxor(band(a, b), band(a, c), band(b, c))
      k, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    for i, v in ipairs { a, b, c, d, e, f, g, k } do h[i] = tobit(h[i] + v) end
  end
  for i = 1, 8 do h[i] = put_be32(h[i]) end
  return table.concat(h)
end

local function hmac_sha256(key, message)  -- a key of at most 64 bytes
  key = padded(key, 64)
  local inner = xor(key, string.rep("\x36", 64))
  local outer = xor(key, string.rep("\x5c", 64))
  return sha256(outer .. sha256(inner .. message))
end

local function hkdf_expand(secret, info, length)
  local out, block, i = "", "", 0
  while #out < length do
    i = i + 1
    block = hmac_sha256(secret, block .. info .. string.char(i))
    out = out .. block
  end
  return out:sub(1, length)
end

-- ---- AES (FIPS 197), encryption only, by one table of the S-box with its column

local sbox, column = {}, {}
do
  local function double(x) return band(bxor(shl(x, 1), x >= 128 and 0x1b or 0), 255) end
  -- p runs through all non-zero elements as powers of 3, q through their inverses.
  local p, q = 1, 1
  repeat
    p = bxor(p, double(p))
    q = bxor(q, shl(q, 1))
    q = bxor(q, shl(q, 2))
    q = band(bxor(q, shl(q, 4)), 255)
    if q >= 128 then q = bxor(q, 9) end
    local function turned(n) return band(bor(shl(q, n), shr(q, 8 - n)), 255) end
    sbox[p] = bxor(q, turned(1), turned(2), turned(3), turned(4), 0x63)
  until p == 1
  sbox[0] = 0x63
  for i = 0, 255 do
    local s, d = sbox[i], double(sbox[i])
    column[i] = bor(shl(d, 24), shl(s, 16), shl(s, 8), bxor(s, d))
  end
end

local function aes_schedule(key)  -- of 16 or 32 bytes
  local n, w, rcon = #key / 4, {}, 1
  local function sub(x)
    return bor(shl(sbox[shr(x, 24)], 24), shl(sbox[band(shr(x, 16), 255)], 16),
               shl(sbox[band(shr(x, 8), 255)], 8), sbox[band(x, 255)])
  end
  for i = 0, n - 1 do w[i] = be32(key, 4 * i + 1) end
  for i = n, 4 * (n + 7) - 1 do
    local x = w[i - 1]
    if i % n == 0 then
      x = bxor(sub(rol(x, 8)), shl(rcon, 24))
      rcon = rcon >= 128 and 0x1b or rcon * 2
    elseif n > 6 and i % n == 4 then
      x = sub(x)
    end
    w[i] = bxor(w[i - n], x)
  end
  return { words = w, rounds = n + 6 }
end

local function aes_encrypt(schedule, block)
  local w, s, t = schedule.words, {}, {}
  for i = 0, 3 do s[i] = bxor(be32(block, 4 * i + 1), w[i]) end
  for round = 1, schedule.rounds - 1 do
    for i = 0, 3 do
      t[i] = bxor(column[shr(s[i], 24)], ror(column[band(shr(s[(i + 1) % 4], 16), 255)], 8),
                  ror(column[band(shr(s[(i + 2) % 4], 8), 255)], 16),
                  ror(column[band(s[(i + 3) % 4], 255)], 24), w[4 * round + i])
    end
    s, t = t, s
  end
  for i = 0, 3 do
    t[i] = put_be32(bxor(w[4 * schedule.rounds + i],
      bor(shl(sbox[shr(s[i], 24)], 24), shl(sbox[band(shr(s[(i + 1) % 4], 16), 255)], 16),
          shl(sbox[band(shr(s[(i + 2) % 4], 8), 255)], 8), sbox[band(s[(i + 3) % 4], 255)])))
  end
  return t[0] .. t[1] .. t[2] .. t[3]
end

-- ---- GCM

-- For each nibble n: n * H in GF(2^128), and what falls off when a product moves on by four bits.
local function ghash_tables(h)
  local function halved(v)
    local carry = band(v[4], 1) == 1
    return { bxor(shr(v[1], 1), carry and 0xe1000000 or 0), bor(shr(v[2], 1), shl(v[1], 31)),
             bor(shr(v[3], 1), shl(v[2], 31)), bor(shr(v[4], 1), shl(v[3], 31)) }
  end
  local multiples, falls = { [0] = { 0, 0, 0, 0 } }, {}
  local v = { be32(h, 1), be32(h, 5), be32(h, 9), be32(h, 13) }
  for _, n in ipairs { 8, 4, 2, 1 } do
    multiples[n] = v
    v = halved(v)
  end
  for n = 1, 15 do
    if not multiples[n] then
      local sum = { 0, 0, 0, 0 }
      for _, m in ipairs { 8, 4, 2, 1 } do
        if band(n, m) ~= 0 then
          for i = 1, 4 do sum[i] = bxor(sum[i], multiples[m][i]) end
        end
      end
      multiples[n] = sum
    end
  end
  for n = 0, 15 do
    local x = { 0, 0, 0, n }
    for _ = 1, 4 do x = halved(x) end
    falls[n] = x[1]
  end
  return multiples, falls
end

local function ghash(h, text)
  local multiples, falls = ghash_tables(h)
  local a, b, c, d = 0, 0, 0, 0
  for at = 1, #text, 16 do
    a, b = bxor(a, be32(text, at)), bxor(b, be32(text, at + 4))
    c, d = bxor(c, be32(text, at + 8)), bxor(d, be32(text, at + 12))
    local words, p, q, r, s = { d, c, b, a }, 0, 0, 0, 0
    for _, word in ipairs(words) do
      for shift = 0, 28, 4 do
        local fall = falls[band(s, 15)]
        local m = multiples[band(shr(word, shift), 15)]
        s = bxor(bor(shr(s, 4), shl(r, 28)), m[4])
        r = bxor(bor(shr(r, 4), shl(q, 28)), m[3])
        q = bxor(bor(shr(q, 4), shl(p, 28)), m[2])
        p = bxor(shr(p, 4), fall, m[1])
      end
    end
    a, b, c, d = p, q, r, s
  end
  return put_be32(a) .. put_be32(b) .. put_be32(c) .. put_be32(d)
end

local function open_gcm(key, nonce, associated, sealed, tag)
  local schedule = aes_schedule(key)
  local h = aes_encrypt(schedule, string.rep("\0", 16))
  local covered = padded(associated, 16) .. padded(sealed, 16) .. put_be64(#associated * 8) .. put_be64(#sealed * 8)
  if xor(ghash(h, covered), aes_encrypt(schedule, nonce .. put_be32(1))) ~= tag then return nil end
  local out = {}
  for at = 1, #sealed, 16 do
    local stream = aes_encrypt(schedule, nonce .. put_be32((at - 1) / 16 + 2))
    out[#out + 1] = xor(sealed:sub(at, at + 15), stream)
  end
  return table.concat(out)
end

-- ---- ChaCha20-Poly1305

local function chacha20_block(key, counter, nonce)
  local start, x = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, {}
  for i = 0, 7 do start[5 + i] = le32(key, 4 * i + 1) end
  start[13] = counter
  for i = 0, 2 do start[14 + i] = le32(nonce, 4 * i + 1) end
  for i = 1, 16 do x[i] = start[i] end
  local function quarter(a, b, c, d)
    x[a] = tobit(x[a] + x[b]); x[d] = rol(bxor(x[d], x[a]), 16)
    x[c] = tobit(x[c] + x[d]); x[b] = rol(bxor(x[b], x[c]), 12)
    x[a] = tobit(x[a] + x[b]); x[d] = rol(bxor(x[d], x[a]), 8)
    x[c] = tobit(x[c] + x[d]); x[b] = rol(bxor(x[b], x[c]), 7)
  end
  for _ = 1, 10 do
    quarter(1, 5, 9, 13); quarter(2, 6, 10, 14); quarter(3, 7, 11, 15); quarter(4, 8, 12, 16)
    quarter(1, 6, 11, 16); quarter(2, 7, 12, 13); quarter(3, 8, 9, 14); quarter(4, 5, 10, 15)
  end
  for i = 1, 16 do x[i] = put_le32(tobit(x[i] + start[i])) end
  return table.concat(x)
end

-- Numbers modulo 2^130 - 5 as ten limbs of 13 bits: a product's limb stays below 2^33, exact in a double.
local function poly1305(key, text)
  local function limbs(bytes)
    local out, value, bits = {}, 0, 0
    for i = 1, #bytes do
      value, bits = value + bytes:byte(i) * 2 ^ bits, bits + 8
      if bits >= 13 then
        out[#out + 1] = value % 8192
        value, bits = floor(value / 8192), bits - 13
      end
    end
    out[#out + 1] = value
    for i = #out + 1, 10 do out[i] = 0 end
    return out
  end
  local function carried(h)
    local carry = 0
    for i = 1, 10 do
      local sum = h[i] + carry
      h[i], carry = sum % 8192, floor(sum / 8192)
    end
    h[1] = h[1] + 5 * carry
  end
  local masks, r, h = { [4] = 15, [8] = 15, [12] = 15, [16] = 15, [5] = 252, [9] = 252, [13] = 252 }, {}, limbs("")
  for i = 1, 16 do r[i] = string.char(band(key:byte(i), masks[i] or 255)) end
  r = limbs(table.concat(r))
  for at = 1, #text, 16 do
    local block, product = limbs(text:sub(at, at + 15) .. "\1"), {}
    for i = 1, 10 do h[i] = h[i] + block[i] end
    for i = 1, 10 do
      local sum = 0
      for j = 1, 10 do sum = sum + h[j] * (j <= i and r[i - j + 1] or 5 * r[i - j + 11]) end
      product[i] = sum
    end
    h = product
    carried(h)
    carried(h)
  end
  -- Below 2^130; less the prime, if it is not below that.
  carried(h)
  carried(h)
  local reduced = { table.unpack(h) }
  reduced[1] = reduced[1] + 5
  for i = 1, 9 do
    reduced[i + 1] = reduced[i + 1] + floor(reduced[i] / 8192)
    reduced[i] = reduced[i] % 8192
  end
  if reduced[10] >= 8192 then
    reduced[10] = reduced[10] % 8192
    h = reduced
  end
  local out, value, bits, carry, limb = {}, 0, 0, 0, 1
  for i = 1, 16 do
    while bits < 8 do
      value, bits, limb = value + h[limb] * 2 ^ bits, bits + 13, limb + 1
    end
    local sum = value % 256 + key:byte(16 + i) + carry
    out[i], carry = string.char(floor(sum % 256)), floor(sum / 256)
    value, bits = floor(value / 256), bits - 8
  end
  return table.concat(out)
end

local function open_chacha20_poly1305(key, nonce, associated, sealed, tag)
  local covered = padded(associated, 16) .. padded(sealed, 16) .. put_le64(#associated) .. put_le64(#sealed)
  if poly1305(chacha20_block(key, 0, nonce):sub(1, 32), covered) ~= tag then return nil end
  local out = {}
  for at = 1, #sealed, 64 do
    out[#out + 1] = xor(sealed:sub(at, at + 63), chacha20_block(key, (at - 1) / 64 + 1, nonce))
  end
  return table.concat(out)
end

-- ---- what trunkline.lua calls

local suites = {
  [1] = { name = "aes-128-gcm", key_bytes = 16, open = open_gcm },
  [2] = { name = "aes-256-gcm", key_bytes = 32, open = open_gcm },
  [3] = { name = "chacha20-poly1305", key_bytes = 32, open = open_chacha20_poly1305 },
}

-- The key and the IV of one lane (docs/protocol.md, the sealed suites).
local function lane_key(secret, suite, sender_core, receiver_core)
  local info = "trunkline lane" .. string.char(suite, sender_core, receiver_core)
  local bytes = suites[suite].key_bytes
  local out = hkdf_expand(secret, info, bytes + 12)
  return { suite = suite, key = out:sub(1, bytes), iv = out:sub(bytes + 1) }
end

-- What was sealed behind the 12 bytes of `header`; nil when the tag, the last 16 bytes, does not verify.
local function open(lane, header, behind)
  local nonce = xor(lane.iv, string.rep("\0", 6) .. header:sub(3, 8))
  return suites[lane.suite].open(lane.key, nonce, header, behind:sub(1, -17), behind:sub(-16))
end

-- CRC-32C (RFC 3720, appendix B.4), reflected, a bit at a time: of segments and of the null suite's messages.
local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = bxor(shr(c, 1), band(c, 1) == 1 and 0x82f63b78 or 0) end
  crc_table[i] = c
end
local function crc32c(text)
  local c = -1
  for i = 1, #text do c = bxor(shr(c, 8), crc_table[band(bxor(c, text:byte(i)), 255)]) end
  return put_be32(bnot(c))
end

return { suites = suites, lane_key = lane_key, open = open, crc32c = crc32c }
