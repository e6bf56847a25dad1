# `script/chatmaid webhook`, and `make webhook`, which calls it: what it sends is what Chatmaid
# would, it says what is wrong, and no other user of the machine sees the secret.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;
use Chatmaid::Test::World qw(leaks_in);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);

my $receiver = receiver;
my $top      = path(__FILE__)->dirname->dirname->to_abs;
my $url      = 'http://127.0.0.1:' . $receiver->port . '/hook';
my $file     = spurt(dir . '/webhook_secret', webhook_secret . "\n");

# (exit code, what it printed).
sub run (%env) {
    my ($event, $url, $file) = @env{qw(EVENT URL SECRET_FILE)};
    my @command = $env{make} ? ('make', '-s', '-C', "$top", 'webhook', map { "$_=$env{$_}" } grep { $_ ne 'make' } sort keys %env)
        : ("$top/script/chatmaid", 'webhook', $event // (), defined $url ? ('--url', $url) : (), defined $file ? ('--secret-file', $file) : ());
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        delete @ENV{qw(MAKEFLAGS MAKELEVEL)};
        $ENV{no_proxy} = '*';
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $said);
}

sub signed_with ($secret) {
    my $request = $receiver->last;
    my ($header) = $receiver->header($request, 'X-Chatmaid-Signature');
    return $header eq sign($request->{body}, secret => $secret, t => $header =~ /t=(\d+)/ && $1);
}


subtest 'an event' => sub {
    for my $make (0, 1) {
        $receiver->reset;
        my ($code, $said) = run(make => $make, URL => $url, SECRET_FILE => $file, EVENT => 'message.delivered');
        is($code, 0, 'ends with 0');
        my $request = $receiver->last;
        my $event   = decode_json($request->{body});
        is("$request->{method} $request->{target}", 'POST /hook', 'where to');
        is($event->{event}, 'message.delivered', 'event');
        like($event->{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'timestamp');
        like($event->{data}{messageId}, qr/^test_\w+$/, 'a messageId that says what it is');
        is($event->{data}{status}, 'delivered', 'its status');
        ok(signed_with(webhook_secret), 'signed');
        is_deeply([map { $receiver->header($request, $_) } qw(Content-Type X-Chatmaid-Event)], ['application/json', 'message.delivered'], 'headers');
        like($said, qr/^POST \Q$url\E$/m, 'prints where to');
        like($said, qr/^\Q$request->{body}\E$/m, 'what');
        like($said, qr/^HTTP\/1\.1 200/m, 'the answer');
        like($said, qr/^\{"received":1\}$/m, 'all of it');
        is(join(' ', leaks_in($said)), '', 'and not the secret');
    }
};

subtest 'each event' => sub {
    my %seen;
    for my $name (qw(message.sent message.received message.outgoing message.failed phone.connected phone.disconnected of-your-own), '') {
        is((run(URL => $url, SECRET_FILE => $file, length $name ? (EVENT => $name) : ()))[0], 0, $name || 'none: the default');
        my $event = decode_json($receiver->last->{body});
        is($event->{event}, $name || 'message.received', 'its name');
        is(!!exists $event->{data}{messageId}, !!($event->{event} =~ /^message\.(?!outgoing)/), 'a messageId where Chatmaid has one');
        ok(!$seen{$receiver->last->{body} =~ /test_\w+/ ? $& : $receiver->last->{body}}++, 'another each time');
    }
};

# The key of an HMAC is padded, or hashed, by its length.
subtest 'secrets' => sub {
    my %secret = ('one letter' => 'x', 'of 63' => 'a' x 63, 'of 64' => 'b' x 64, 'of 65' => 'c' x 65, 'of 300' => 'd' x 300,
        'UTF-8' => "cl\xc3\xa9-\xe2\x9c\x93", 'odd bytes' => "\0\xff\\%s'\"\$(x)`", 'white space within' => " a b\tc", 'white space after' => "abc \t\r\n\n");
    for my $name (sort keys %secret) {
        my $odd = spurt(dir . '/odd', $secret{$name});
        is((run(URL => $url, SECRET_FILE => $odd))[0], 0, $name);
        ok(signed_with($secret{$name} =~ s/[ \t\r\n]+\z//r), "$name: signed");
    }
};

subtest 'a refusal' => sub {
    for my $status (401, 503) {
        $receiver->fault({status => $status, json => {code => 'why'}});
        my ($code, $said) = run(URL => $url, SECRET_FILE => $file);
        is($code, 1, "$status: ends with 1");
        like($said, qr/^HTTP\/1\.1 $status.*^\{"code":"why"\}$/ms, "$status: shows it");
    }
    my ($code, $said) = run(URL => 'http://127.0.0.1:' . port('nobody'), SECRET_FILE => $file);
    is($code, 2, 'nobody there: ends with 2');
    like($said, qr/^chatmaid: no answer: .*refused/m, 'nobody there: says so');
};

subtest 'what is missing' => sub {
    my $empty = spurt(dir . '/empty', " \n");
    my @wrong = (
        ['another URL',      qr/^chatmaid: neither http.*: ftp:/m,  URL => 'ftp://x', SECRET_FILE => $file],
        ['no such file',     qr/^chatmaid: \S*nowhere: No such/m,  URL => $url, SECRET_FILE => dir . '/nowhere'],
        ['a directory',      qr/^chatmaid: \S+ is a directory/m, URL => $url, SECRET_FILE => dir],
        ['an empty file',    qr/^chatmaid: \S+ is empty/m,         URL => $url, SECRET_FILE => $empty],
        ['no event\'s name', qr/^chatmaid: no event's name: a"b/m, URL => $url, SECRET_FILE => $file, EVENT => 'a"b'],
    );
    my $before = $receiver->count;
    for my $case (@wrong) {
        my ($name, $pattern, %env) = @$case;
        my ($code, $said) = run(%env);
        is($code, 2, "$name: ends with 2");
        like($said, $pattern, "$name: says so");
    }
    my ($code, $said) = run(make => 1, URL => 'ftp://x', SECRET_FILE => $file);
    isnt($code, 0, 'make fails too');
    like($said, qr/^chatmaid: neither http/m, 'and says why');
    is($receiver->count, $before, 'nothing was sent');
};

done;
