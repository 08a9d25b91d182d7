# Picks from a manifest what the guest works on, at random by `seed`: prints
# shell assignments. Files are small, owner-writable and have one name; nothing
# chosen lies in another.

function is_free(path,    name, other)
{
	for (name in chosen) {
		other = chosen[name]
		if (index(path "/", other "/") == 1 ||
		    index(other "/", path "/") == 1)
			return 0
	}
	return 1
}

function choose(name, candidates, n,    i, tries)
{
	for (tries = 0; tries < 1000 && n > 0; tries++) {
		i = 1 + int(rand() * n)
		if (is_free(candidates[i])) {
			chosen[name] = candidates[i]
			printf "%s='%s'\n", name, substr(candidates[i], 2)
			return
		}
	}
	print "choose.awk: nothing fit for " name > "/dev/stderr"
	exit 1
}

# Every directory above counts what lies below it.
function add(path, size)
{
	while (match(path, /\/[^\/]*$/) && RSTART > 1) {
		path = substr(path, 1, RSTART - 1)
		entries[path]++
		bytes[path] += size
	}
}

{
	path = $10
	add(path, $6)
}

NF != 10 || path !~ /^\/[A-Za-z0-9._+\/-]+$/ { next }

$1 == "d" && $2 == "0755" && path ~ /\/.*\// { dirs[++ndirs] = path }

$1 == "f" && $2 == "0644" && $5 == 1 && $6 >= 100 && $6 < 100000 {
	files[++nfiles] = path
}

$1 == "f" && $6 > 1000000 && $6 < 50000000 && $8 != "unreadable" {
	large[++nlarge] = path
}

END {
	srand(seed)
	for (i = 1; i <= ndirs; i++) {
		n = entries[dirs[i]]
		if (n >= 100 && n < 2000 && bytes[dirs[i]] < 20000000)
			trees[++ntrees] = dirs[i]
		if (n >= 10 && n < 300)
			small[++nsmall] = dirs[i]
	}
	# There are few of these.
	if (nlarge > 0)
		choose("BIG", large, nlarge)
	else
		choose("BIG", files, nfiles)
	choose("TREE", trees, ntrees)
	choose("REMOVE_TREE", small, nsmall)
	choose("RENAME_TREE", small, nsmall)
	choose("APPEND", files, nfiles)
	choose("WRITE", files, nfiles)
	choose("TRUNCATE", files, nfiles)
	choose("CHMOD", files, nfiles)
	choose("REMOVE", files, nfiles)
	choose("RENAME", files, nfiles)
}
