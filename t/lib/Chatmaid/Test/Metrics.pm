package Chatmaid::Test::Metrics;

# What chatmaid_status says of the nginx that was started last, or of another.
#
#   use Chatmaid::Test;
#   use Chatmaid::Test::Metrics;
#
#   nginx(server => $STATUS, gateway => 'chatmaid_sender +15550100001;');
#   post('/send', message);
#   counted('chatmaid_requests_total{route="send",status="201"}', 1, 'a send');
#
# A request is counted when it has ended, which may be after its answer was read:
# counted() waits.

use Mojo::Base -strict, -signatures;
use Chatmaid::Test ();
use Chatmaid::Test::World qw(test_dir wait_for spurt);
use Exporter 'import';
use Test::More;

our @EXPORT = qw($STATUS scrape metrics metric counted counts tries records samples promtool);

our $STATUS = 'location = /status { chatmaid_status; }';

sub scrape ($nginx = Chatmaid::Test::last_nginx()) { $nginx->get($nginx->url('/status')) }

# {'name{label="value"}' => number}
sub metrics (@at) { samples(scrape(@at)->{body}) }

sub samples ($text) {
    return {map { /^([a-z_]+(?:\{.*\})?) (\S+)$/ ? ($1, 0 + $2) : die "no sample: $_" } grep { !/^#/ } split /\n/, $text};
}

sub metric ($name, @at) { metrics(@at)->{$name} }

sub counted ($name, $number, $comment, @at) {
    wait_for(sub { (metric($name, @at) // 0) >= $number }, "$name to be $number");
    return is(metric($name, @at), $number, "$comment: $name");
}

# What was counted since another look, without times and memory.
sub since ($before, @at) {
    my $now = metrics(@at);
    return {map { $now->{$_} != ($before->{$_} // 0) ? ($_ => $now->{$_} - ($before->{$_} // 0)) : () }
        grep { !/_bucket|_sum|_bytes|_records|_held|_connected|_time_seconds/ } keys %$now};
}

# What these requests count, and nothing else: 'send 201' => 1 is such a request.
# A number that only the run shows may be said by a function.
sub counts ($name, $run, %want) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = metrics;
    $run->();
    my %all;
    ref and $_ = $_->() for values %want;
    for my $key (keys %want) {
        $key =~ /^(\w+) (\d+)$/ or do { $all{$key} += $want{$key}; next };
        $all{qq(chatmaid_requests_total{route="$1",status="$2"})} += $want{$key};
        $all{qq(chatmaid_request_duration_seconds_count{route="$1"})} += $want{$key};
    }
    eval { wait_for(sub { my $now = since($before); !grep { ($now->{$_} // 0) < $all{$_} } keys %all }, "$name to be counted") }
        or diag $@;
    return is_deeply(since($before), \%all, $name);
}

sub tries ($outcome, $n = 1) {
    return (qq(chatmaid_upstream_requests_total{outcome="$outcome"}) => $n, chatmaid_upstream_duration_seconds_count => $n);
}

sub records ($result, $n = 1) { (qq(chatmaid_idempotency_total{result="$result"}) => $n) }

# (exit code, output) of promtool with these arguments and this standard input.
sub promtool ($input, @arguments) {
    my $file = test_dir() . '/promtool';
    spurt($file, $input);
    my $said = qx(promtool @arguments < $file 2>&1);
    return ($? >> 8, $said);
}

1;
