-- Calls everything that is bound with everything that a script may get wrong. Arguments: a folder to
-- work in, the files to open. The global `declared` is a list of { owner, name, kind, { types } }.
-- Says what it calls before it does, in the file "last": a trap leaves it there.
local xs = require "xensave"
local P = xs.pages
local folder = table.remove(arg, 1)

local sparse = {}
for bit = 0, 62 do sparse[1 << bit] = 1 end
local deep = {}
for _ = 1, 200 do deep = { deep } end
local numbers = {
  math.mininteger, math.maxinteger, -1, 0, 1, 2, 255, 256, 65536, 0x7fffffff, 0x80000000,
  0xffffffff, 1 << 32, 1 << 40, 1 << 52, 1 << 53, -(1 << 53), 2.0 ^ 63, -2.0 ^ 63, 2.0 ^ 64, 0 / 0,
  1 / 0, -1 / 0, -0.0, 0.5, 1e308, -1e308,
}
local others = {
  true, false, "", "x", "0x", "-1", ("9"):rep(30), "0xffffffffffffffff", "\0", "\xff", "[", "a.b[",
  "param[-1]", "param[9999999999999999999]", "[0]", ".", {}, { 1, 2 }, { x = 1 }, { 1, x = 2 }, sparse,
  deep, { math.mininteger, math.maxinteger }, print, coroutine.create(print),
}
local options = {
  "limit", "first", "last", "where", "with", "width", "base", "depth", "items", "context", "pages",
  "count", "interval_ms", "deadline_ms", "suspend_ms", "seed", "vcpus", "filled", "link",
  "link_mbps", "hour", "version", "holes", "workload", "encoding", "xen", "order", "layer", "name",
  "header", "aligned",
}
local phases = {
  "seconds", "writes_per_s", "hot_pages", "hot_percent", "zero_percent", "burst_writes", "burst_ms",
}

local last = assert(io.open(folder .. "/last", "w"))
last:setvbuf "no"
local calls = 0
local function try(what, f, ...)
  calls = calls + 1
  last:seek "set"
  last:write(what, "\n\n")
  local results = table.pack(pcall(f, ...))
  -- What gives a loop is asked for some of its values.
  if results[1] and type(results[2]) == "function" then
    for _ = 1, 3 do pcall(results[2]) end
  end
  if results[1] then return table.unpack(results, 2, results.n) end
end

-- ---- objects of every class

local pool = {}
local function have(class, object)
  if object == nil then return end
  pool[class] = pool[class] or {}
  if #pool[class] < 40 then table.insert(pool[class], object) end
end
local function get(object, name)
  local ok, value = pcall(function() return object[name] end)
  return ok and value or nil
end

local function explore(record)
  have("Record", record)
  have("View", get(record, "body"))
  have("PageColumn", get(record, "pfn"))
  for _, name in ipairs { "param", "msr", "leaf", "CPU", "LAPIC", "user_regs", "save_area" } do
    local node = get(record, name)
    if type(node) == "userdata" then have("Fields", node) end
  end
  pcall(function() for _, view in record:each() do have("View", view) break end end)
end

local images = {}
for _, path in ipairs(arg) do
  local image = xs.open(path) or xs.open(path, { layer = "legacy" })
  if image then
    images[#images + 1] = image
    have("Image", image)
    local ok, n = pcall(function() return #image end)
    if ok then
      for i = 1, math.min(n, 30) do explore(image[i]) end
    end
    for _, name in ipairs { "xl_header", "libxl_header", "image_header", "domain_header",
                            "libvirt_header", "draft_domain_header" } do
      have("Header", get(image, name))
    end
    have("Config", get(image, "config"))
    have("VCPUs", get(image, "vcpu"))
    pcall(function() have("VCPU", image.vcpu[0]) end)
    have("HVMParams", get(image, "hvm_params"))
    have("CPUID", get(image, "cpuid"))
    pcall(function()
      local found = image:verify()
      have("Verification", found)
      have("Finding", found[1])
    end)
    pcall(function() have("Duplicates", image:dedupe()) end)
    pcall(function() have("View", image:page(1)) end)
    pcall(function() have("View", image:physical(0x1000, 64)) end)
    have("Conversion", (image:convert(folder .. "/converted", { version = 3, unchecked = true })))
    have("Report", (xs.rewrite(path, folder .. "/rewritten", function(rec)
      explore(rec)
    end, { unchecked = true })))
  end
end
have("Chain", xs.chain(function() end, {}))
have("Synth", xs.synth {})
have("Selector", P.zero)
have("Selector", P.pfn(0, 3) & P.has_data)
have("PageSet", P.set(0, 100) | P.set { 300, 302 })
have("PageSet", ~P.set())
have("Progress", xs.progress("brute", 10, "things"))
have("Policy", xs.load_policy "builtin")
local domain = assert(xs.sim.domain { pages = 64, seed = 7 })
have("Domain", domain)
have("Domain", assert(xs.sim.domain { pages = 64, blank = true }))
local result = assert(domain:save(folder .. "/saved", {
  resume = true, unchecked = true, policy = function(s) have("PrecopyStats", s) return "stop" end,
}))
have("SaveResult", result)
have("Trace", result.trace)
domain:pause()
have("Record", domain:record "HVM_CONTEXT")
have("HVMParams", domain:hvm_params())
have("VCPU", domain:vcpu(0))
have("View", domain:page(1))
domain:unpause()

-- ---- calls

-- What ends or changes the object is called last; what runs a command of the shell not at all.
local never = { ["Domain.migrate"] = true, ["xs.usage"] = true }
local late = { close = true, destroy = true, fault = true, omit = true }
table.sort(declared, function(a, b)
  if (late[a[2]] or false) ~= (late[b[2]] or false) then return not late[a[2]] end
  return a[1] .. "." .. a[2] < b[1] .. "." .. b[2]
end)

local plain = {
  integer = 1, number = 1, string = "x", boolean = true, table = {}, any = 1,
  ["Selector|PageSet|string"] = "any", ["PageSet|table"] = { 1 }, Filter = function() end,
}
local function usual(kind)
  if plain[kind] ~= nil then return plain[kind] end
  local class = kind:match "^%u%w*"
  return class and pool[class] and pool[class][1] or "x"
end

local function vary(title, f, kinds, first)
  local usuals = {}
  for i, kind in ipairs(kinds) do usuals[i] = usual(kind) end
  local n = #kinds
  if n == 0 then
    if first ~= nil then
      try(title, f, first)
      try(title, f, first, math.mininteger)
      try(title, f)
      try(title, f, {})
    end
    return try(title, f, math.mininteger)
  end
  local function call(values)
    if first ~= nil then
      try(title, f, first, table.unpack(values, 1, n))
    else
      try(title, f, table.unpack(values, 1, n))
    end
  end
  call(usuals)
  for i = 1, n do
    local values = { table.unpack(usuals, 1, n) }
    for _, list in ipairs { numbers, others } do
      for j, value in ipairs(list) do
        values[i] = value
        call(values)
      end
    end
    values[i] = nil
    call(values)
    -- Both of two numbers at once: a sum of them, or a range.
    if i < n then
      for _, a in ipairs(numbers) do
        for _, b in ipairs { math.mininteger, math.maxinteger, -1, 1, 0x100000000 } do
          values[i], values[i + 1] = a, b
          call(values)
        end
      end
    end
    if i == n and (kinds[i] or ""):find "table" then
      for _, key in ipairs(options) do
        for _, list in ipairs { numbers, { "x", {}, sparse, { { 1 } }, true } } do
          for _, value in ipairs(list) do
            local isLarge = type(value) == "number" and value > 2 and value <= 2 ^ 30
            -- What is allowed and takes long is no mistake: so many checkpoints, so many pages.
            if not (title == "Domain.checkpoint" and key == "count" and isLarge)
              and not (title == "xs.sim.domain" and key == "pages" and isLarge) then
              local pages = title == "xs.sim.domain" and 64 or nil
              values[i] = { pages = pages, [key] = value }
              call(values)
            end
          end
        end
      end
    end
  end
end

for _, member in ipairs(declared) do
  local owner, name, kind, kinds = table.unpack(member)
  local title = owner .. "." .. name
  if never[title] then
  elseif kind == "function" then
    local module = xs
    for step in owner:gmatch "[^.]+" do if step ~= "xs" then module = module[step] end end
    vary(title, module[name], kinds)
  else
    -- Some objects of a class are enough: those of different images.
    for place, object in ipairs(pool[owner] or {}) do
      if kind == "method" and place <= 3 then
        local ok, method = pcall(function() return object[name] end)
        if ok then vary(title, method, kinds, object) end
      elseif kind == "property" then
        try(title, function() return object[name] end)
        for _, list in ipairs { numbers, others } do
          for _, value in ipairs(list) do
            try(title .. " =", function() object[name] = value end)
          end
        end
      end
    end
  end
end

-- ---- indexes, operators, fields

for class, objects in pairs(pool) do
  for place, object in ipairs(objects) do
    if place <= 4 then
      local shown = class .. " " .. place
      try(shown .. " #", function() return #object end)
      try(shown .. " tostring", function() return tostring(object) end)
      try(shown .. " repr", function() return xs.repr(object) end)
      for _, list in ipairs { numbers, others } do
        for _, value in ipairs(list) do
          try(shown .. " []", function() return object[value] end)
          try(shown .. " ()", function() return object(value) end)
          try(shown .. " ==", function() return object == value end)
          try(shown .. " &", function() return object & value end)
          try(shown .. " |", function() return value | object end)
          try(shown .. " -", function() return object - value end)
          try(shown .. " ..", function() return object .. value end)
          try(shown .. " [] =", function() object[value] = value end)
          try(shown .. " [] = nil", function() object[value] = nil end)
        end
      end
    end
  end
end

local seen = {}
for place, record in ipairs(pool.Record) do
  local ok, fields = pcall(function() return record:fields() end)
  if ok then
    for name in pairs(fields) do
      -- One record of each type.
      local lists = seen[record.type .. name] and {} or { numbers, others }
      seen[record.type .. name] = true
      for _, list in ipairs(lists) do
        for _, value in ipairs(list) do
          try("Record " .. place .. "." .. name .. " =", function() record[name] = value end)
          try("Record " .. place .. ":set " .. name, record.set, record, name, value)
        end
      end
      try("Record " .. place .. "." .. name, function() return record[name], record:fields() end)
    end
  end
end

-- The same at each moment of a filter, where pages may change.
local phased = {}
for _, phase in ipairs(phases) do
  for _, value in ipairs(numbers) do
    phased[#phased + 1] = { workload = { { [phase] = value } }, pages = 8 }
  end
end
for _, table in ipairs(phased) do
  local made = try("xs.sim.domain workload", xs.sim.domain, table)
  if made then
    try("run", function() made:run(0.001) end)
    made:destroy()
  end
end
local kinds = { fill = 2, drop = 1, keep = 1, retype = 2, copy_pages = 2, select = 1 }
for _, path in ipairs { arg[1], arg[2] } do
  for name in pairs(kinds) do
    for _, list in ipairs { numbers, others } do
      for _, value in ipairs(list) do
        try("filter " .. name, xs.rewrite, path, nil, {
          PAGE_DATA = function(rec)
            pcall(rec[name], rec, value, value)
            pcall(rec[name], rec, "any", value)
            pcall(function() rec.pfn[value] = value end)
            pcall(function() rec.pfn[1] = value end)
            pcall(function() rec.pftype[1] = value end)
            for _, view in rec:each() do
              pcall(view.u32, view, value, value)
              pcall(view.sub, view, value)
              pcall(view.bytes, view, value)
              pcall(view.find, view, "x", value)
              pcall(view.put, view, value, "x")
              pcall(view.unpack, view, "<I4", value)
              pcall(view.fill, view, value)
              break
            end
          end,
        })
      end
    end
  end
end
print(calls)
