# An error_page that leads to a stream: what the receiver does not take waits in the
# inbox, and has then been delivered.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $redis    = redis_server;
my $up       = 'proxy_pass http://127.0.0.1:%API%; proxy_intercept_errors on;';

edge(http => 'chatmaid_redis redis://127.0.0.1:' . $redis->port . ' timeout=30s;', server => <<"END");
        location = /spooled { chatmaid_webhook on; $up error_page 500 502 = /spool; }
        location = /lost    { chatmaid_webhook on; $up proxy_read_timeout 300ms; error_page 502 504 = /spool; }
        location = /unmarked { chatmaid_webhook on; chatmaid_webhook_dedup 0; $up error_page 500 = /spool; }
        location = /named   { chatmaid_webhook on; $up error_page 500 \@spool; }
        location = /spool   { internal; chatmaid_webhook on; chatmaid_webhook_stream inbox; }
        location \@spool    { chatmaid_webhook on; chatmaid_webhook_stream inbox; }
END

sub to ($path, $body) { code(hook_at($path, $body)) }
sub entries ()        { $redis->cli('XLEN', 'inbox') + 0 }

my $taken = event('message.sent');
is(to('/spooled', $taken), 200, 'the receiver takes an event');
is(entries(), 0, 'the inbox has none');

my $spooled = event('message.sent');
$receiver->fault({status => 500});
is(to('/spooled', $spooled), 200, 'the receiver fails, and the sender is answered');
is(entries(), 1, 'the inbox has it');
like($redis->cli('XRANGE', 'inbox', '-', '+'), qr/^\Q$spooled\E$/m, 'as it came');

is(code(hook_again('/spooled', $spooled)), 200, 'a repeat is answered');
is(entries(), 1, 'the inbox has it once');
is(passed($receiver, $spooled), 1, 'and the receiver got no other');

$receiver->fault({status => 500});
is(to('/named', event('message.sent')), 200, 'the same by a named location, which changes no status');
is(entries(), 2, 'the inbox has that one too');

my $late = event('message.sent');
$receiver->fault({status => 500});
$redis->cli('DEL', 'inbox');
$redis->cli('SET', 'inbox', 'no stream');
is(to('/spooled', $late), '503 store_unavailable', 'the inbox does not take it either');

$redis->cli('DEL', 'inbox');
is(code(hook_again('/spooled', $late)), 200, 'so the next is passed on');
is(passed($receiver, $late), 2, 'to the receiver');

for my $n (1, 2) {
    my $before = entries;
    my $body   = event('message.sent');
    for my $try ('once', 'again') {
        $receiver->fault({status => 500});
        is(to('/unmarked', $body), 200, "event $n of a location that keeps no marks, sent $try");
        is(entries(), $before + 1, 'the inbox has it once');
    }
}

for my $fault ({close => 'before'}, {close => 'after', reset => 1}, {hold => 'before'}) {
    my ($name) = sort keys %$fault;
    my $before = entries;
    my $body   = event('message.sent');
    $receiver->fault($fault);
    is(to('/lost', $body), 200, "$name: no answer from the receiver");
    is(entries(), $before + 1, "$name: the inbox has it");
    is(code(hook_again('/lost', $body)), 200, "$name: a repeat");
    is(passed($receiver, $body), 1, "$name: which goes nowhere");
}

my $before = entries;
my $forged = event('message.sent');
is(code(hook_at('/spooled', $forged, signed($forged, secret => 'another'))), '401 signature_mismatch', 'a forgery');
is(to('/spool', $forged), '404 not_found', 'the inbox itself is internal');
is(entries(), $before, 'nothing is added');

done;
