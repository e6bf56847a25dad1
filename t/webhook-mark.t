# An event's mark, or that it is free again, is on its way before the first byte
# of the answer is.  Who reads the answer is as fast as can be here: the worker
# that wrote it stands still from then on, in the log phase, since its access log
# is a pipe that is full.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Fcntl qw(O_RDWR O_NONBLOCK);
use POSIX qw(mkfifo);

my $receiver = receiver;
my $redis    = redis_server;
my $shared   = 'chatmaid_redis ' . $redis->url . ' timeout=5s;';

my $LOCATIONS = <<'END';
        location = /stops {
            %LOG%
            chatmaid_webhook on;
            proxy_pass http://127.0.0.1:%API%;
        }
        location = /page {
            %LOG%
            chatmaid_webhook on;
            proxy_intercept_errors on;
            error_page 500 =202 @took;
            error_page 503 =404 @took;
            proxy_pass http://127.0.0.1:%API%;
        }
        location @took { %LOG% return 202; }
END

mkfifo(my $fifo = dir . '/log', 0600) or die "mkfifo: $!";
sysopen my $pipe, $fifo, O_RDWR | O_NONBLOCK or die "$fifo: $!";

sub locations ($log) { $LOCATIONS =~ s/%LOG%/$log/gr }

my %stops = (server => locations("access_log $fifo;"), workers => 2);
my $zone  = edge(name => 'zone', %stops);
my $one   = edge(name => 'one', %stops, http => $shared);
my $two   = edge(name => 'two', http => $shared, server => locations(''));

# Redis asks for the text of a script once.
for my $status (500, 200) {
    $receiver->fault({status => $status});
    hook_at($two, event('message.sent'));
}

sub fill ()  { 1 while syswrite $pipe, 'x' x 4096; 1 while syswrite $pipe, 'x' }
sub drain () { 1 while sysread $pipe, my $bytes, 65536 }

# What a sender that asks again at once is answered, and how often the event has
# been handed on: at $first two workers serve one request each.
sub at_once ($first, $then, $path, @faults) {
    $receiver->clear_faults;
    $receiver->fault({%$_, times => 1}) for @faults;
    my $body = event('message.sent');
    fill;
    my @codes = map { code(hook_at($_->url($path), $body)) } $first, $then;
    drain;
    for my $edge ($zone, $one) {        # no worker stands still any more
        wait_for(sub { drain; code($edge->get($edge->url('/plain'))) eq '204' }, 'the workers') for 1 .. 4;
    }
    return join ', ', @codes, passed($receiver, $body);
}

for my $case (['the same gateway', $zone, $zone], ['the same, with Redis', $one, $one], ['another gateway', $one, $two]) {
    my ($name, $first, $then) = @$case;
    subtest $name => sub {
        is(at_once($first, $then, '/stops', {status => 500}), '500, 200, 2', 'failed: handed on again');
        is(at_once($first, $then, '/stops', {close => 'before'}), '502 upstream_error, 200, 2', 'no answer: handed on again');
        is(at_once($first, $then, '/stops', {status => 200}), '200, 200, 1', 'delivered: not handed on again');
        is(at_once($first, $then, '/stops', {status => 204, body => ''}), '204, 200, 1', 'delivered, without a body');
        is(at_once($first, $then, '/page', {status => 500}), '202, 200, 1', 'delivered by an error_page');
        is(at_once($first, $then, '/page', {status => 503}), '404, 200, 2', 'failed by an error_page');
    };
}

# The status is known with the header: the body, and whether the sender stays for
# it, change nothing.
subtest 'before the body' => sub {
    for my $case ([200, 1], [500, 2]) {
        my ($status, $times) = @$case;
        for my $then ($one, $two) {
            my ($body, $before) = (event('message.sent'), $receiver->count);
            $receiver->clear_faults;
            $receiver->fault({raw => "HTTP/1.1 $status X\r\n\r\n" . 'x' x 100_000, drip => {bytes => 100, every => 1000}, times => 1});
            my $repeat = sub {
                $receiver->wait_requests($before + 1);
                is(code(hook_again($then->url('/stops'), $body)), 200, "$status: a repeat meanwhile");
            };
            raw($one->port, [head($body, path => '/stops'), $body, $repeat], abort => 'close');
            is(code(hook_again($then->url('/stops'), $body)), 200, "$status: a repeat afterwards");
            is(passed($receiver, $body), $times, $times > 1 ? 'is handed on' : 'is known');
        }
    }
};

done;
