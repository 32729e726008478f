-- What a Linux guest's own memory says about itself.
--
--   local linux = require "xensave.linux"
--   print(linux.vmcoreinfo(img).OSRELEASE, #linux.free_pages(img))
--
-- The kernel keeps a text for crash dumps in its memory, VMCOREINFO, with the addresses and sizes of
-- what tells its pages apart. Where it is not found, or says too little, these functions raise.
local xs = require "xensave"
local P = xs.pages

local M = {}

-- What `f` returns, or nil and the problem on one line, without the place in a file of Lua.
function M.try(f, ...)
  local result = table.pack(pcall(f, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  return nil, (tostring(result[2]):gsub("^[^\n]-%.lua:%d+: ", ""))
end

-- A domain by its name, paused until its handle is closed. Raises where there is none.
function M.paused(name)
  local dom = assert(xs.domain(name))
  local fine, problem = dom:pause()
  if fine then return dom end
  dom:close()
  error(problem, 0)
end

-- The text as a table: OSRELEASE, PAGESIZE, ... and SYMBOL, OFFSET, SIZE, LENGTH, NUMBER by name.
local function parse(text)
  local info = { SYMBOL = {}, OFFSET = {}, SIZE = {}, LENGTH = {}, NUMBER = {} }
  for line in text:gmatch "[^\n\0]+" do
    local kind, name, value = line:match "^(%u+)%(([%w_.]+)%)=(-?%w+)$"
    if kind and info[kind] then
      info[kind][name] = math.tointeger(tonumber(value, kind == "SYMBOL" and 16 or 10))
    else
      name, value = line:match "^([%w_.-]+)=(.*)$"
      if name then info[name] = value end
    end
  end
  return info
end

-- The VMCOREINFO of the running kernel.
function M.vmcoreinfo(image)
  for _, address in ipairs(image:search("OSRELEASE=", { limit = 100 })) do
    -- The kernel builds it in a page of its own; what stands elsewhere are copies of it.
    if address & 0xfff == 0 then
      local info = parse(image:physical(address, 4096):bytes())
      if info.PAGESIZE == "4096" and info.SIZE.page and info.SYMBOL.swapper_pg_dir then
        return info
      end
    end
  end
  error("the guest's memory has no VMCOREINFO (is it a Linux kernel with CONFIG_CRASH_CORE?)", 2)
end

-- What one of these needs and the kernel does not say.
local function need(info, kind, name)
  return info[kind][name] or error(("VMCOREINFO has no %s(%s)"):format(kind, name), 3)
end

-- A vCPU whose page tables map the kernel.
local function kernel_vcpu(image, address)
  local problem
  for _, vcpu in image.vcpu:each() do
    local view, err = vcpu:virtual(address, 8)
    if view then return vcpu end
    problem = problem or err
  end
  error("no vCPU maps the kernel's data: " .. tostring(problem), 3)
end

-- Adds the free pages of one section of the memory map to a list of lines. `map` shows its struct
-- pages, which belong to the pages from `first` on.
local function free_blocks(map, first, layout, lines)
  local index, count = 0, #map // layout.size
  while index < count do
    local at = index * layout.size
    local step = 1
    if map:i32(at + layout.mapcount) == layout.buddy and map:i32(at + layout.refcount) == 0 then
      local order = map:u64(at + layout.private)
      if order < 0 or order > 20 then
        error(("page %#x: a free block of order %d"):format(first + index, order), 0)
      end
      step = 1 << order
      lines[#lines + 1] = ("%#x..%#x"):format(first + index, first + index + step - 1)
    end
    index = index + step
  end
end

-- The pages that the guest's allocator has on its free lists, as a PageSet: nothing of the guest
-- reads them before it has written them. Pages kept back for one CPU are not among them.
function M.free_pages(image)
  local info = M.vmcoreinfo(image)
  local layout = {
    size = need(info, "SIZE", "page"), mapcount = need(info, "OFFSET", "page._mapcount"),
    refcount = need(info, "OFFSET", "page._refcount"),
    private = need(info, "OFFSET", "page.private"),
    buddy = need(info, "NUMBER", "PAGE_BUDDY_MAPCOUNT_VALUE"),
  }
  local bits = need(info, "NUMBER", "SECTION_SIZE_BITS") - 12
  local roots = need(info, "SYMBOL", "mem_section")
  local section_size = need(info, "SIZE", "mem_section")
  local map_offset = need(info, "OFFSET", "mem_section.section_mem_map")
  local per_root = 4096 // section_size
  local vcpu = kernel_vcpu(image, roots)
  local described = image:select(P.any)
  local free = P.set()
  local previous
  for first, last in described:ranges() do
    for section = first >> bits, last >> bits do
      local root = section ~= previous
        and assert(vcpu:virtual(roots + 8 * (section // per_root), 8)):u64(0) or 0
      previous = section
      if root ~= 0 then
        local entry = root + section_size * (section % per_root) + map_offset
        local map = assert(vcpu:virtual(entry, 8)):u64(0)
        if map & 2 ~= 0 then -- SECTION_HAS_MEM_MAP; the map is encoded relative to page 0
          local lines, pages = {}, 1 << bits
          local start = (map & ~0x3f) + layout.size * (section << bits)
          -- The map of the last section may end early: 2 MiB of it at a time.
          local step = (2 << 20) // layout.size
          for index = 0, pages - 1, step do
            local view = vcpu:virtual(start + layout.size * index,
              layout.size * math.min(step, pages - index))
            if view then free_blocks(view, (section << bits) + index, layout, lines) end
          end
          free = free | P.set(table.concat(lines, "\n"))
        end
      end
    end
  end
  return free & described
end

return M
