package Chatmaid::Bench::Used;

# What the gateway's process has used, as Linux counts it.

use Mojo::Base -strict, -signatures;
use Chatmaid::Test::World qw(slurp wait_for);
use Exporter 'import';

our @EXPORT = qw(processors used_by memory);

# The gateway has processor 0 for itself: what it is run by, and all others are.

sub processors () {
    chomp(my $count = qx(nproc));
    die "two processors are needed: one for the gateway alone\n" if $count < 2;
    qx(taskset -cp 1-@{[$count - 1]} $$);
    return ([qw(taskset -c 0)], []);
}

# Of these requests: CPU time of each, and how many were answered in a second.  An
# answer may come before all of its work is done.

sub used_by ($world, @numbers) {
    my $row     = $world->row;
    my $pid     = $world->gateway->pid;
    my $scripts = $world->scripts + @numbers * ($row->{redis} // 0);
    my $before  = nanoseconds($pid);
    my $seconds = $world->drive(@numbers);

    wait_for(sub { $world->scripts >= $scripts }, "$row->{name}: Redis to have run all scripts", 5);
    my $used = nanoseconds($pid) - $before;
    return {microseconds => $used / @numbers / 1000, rate => @numbers / $seconds};
}

sub nanoseconds ($pid) { (split ' ', slurp("/proc/$pid/schedstat"))[0] }

# In MiB: the worker's own, the zone's as far as it was written to, Redis'.

sub memory ($world) {
    my ($own, $zone) = (0, 0);
    my $into = \$own;

    for (split /\n/, slurp('/proc/' . $world->gateway->pid . '/smaps')) {
        $into = m{ /dev/zero \(deleted\)$} ? \$zone : \$own if /^[0-9a-f]+-/;
        $$into += $1 if /^Rss:\s+(\d+) kB/;
    }

    my ($redis) = $world->redis ? $world->redis->cli('INFO', 'memory') =~ /^used_memory:(\d+)/m : 0;
    return ($own / 1024, $zone / 1024, $redis / 1048576);
}

1;
