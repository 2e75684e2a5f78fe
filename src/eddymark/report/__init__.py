"""From a results tree to one page: what was measured, who wins, and by how much more than chance."""
