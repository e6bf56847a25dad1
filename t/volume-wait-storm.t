# Callers that wait come and go in every way, over HTTP/1 and HTTP/2, while
# messages move and nginx is reloaded: nothing is left of them, and those that
# stay are answered.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Time::HiRes qw(time);

my $api   = sandbox;
my @shops = map { "shop$_" } 0 .. 7;        # accounts, each with polls of its own
my $nginx = nginx(
    workers   => 2,
    error_log => 'info',
    internal  => 'proxy_read_timeout 400ms;',
    files     => {webhook_secret => webhook_secret . "\n"},
    http      => 'chatmaid_sender +15550100001; chatmaid_webhook_secret_file %DIR%/webhook_secret;',
    server    => join("\n", (map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; }
        location = /hook/$_ { chatmaid_webhook on; chatmaid_account $_; proxy_pass http://127.0.0.1:%PORT%/done; }" } @shops), <<'END'));
        listen 127.0.0.1:%PORT:both% reuseport;
        listen 127.0.0.1:%PORT:h2% http2 reuseport;
        location = /done   { return 204; }
        location = /status { stub_status; access_log off; }
END

my @ids    = map { post('/send', {to => '+15550100099', text => "Message $_"})->{json}{id} } 0 .. 7;
my @states = qw(pending sent delivered read failed sent pending);
my %count;

sub any (@of) { $of[rand @of] }

sub path () {
    my $n = int rand @ids;
    return "/$shops[rand @shops]/messages/" . ($n == 7 && rand() < 0.3 ? 'msg_none' : $ids[$n]) . '?wait=' . any(1, 1, 2, 3) . any('', '&until=sent', '&until=read');
}

sub counted ($status) { $count{$status || 'left'}++ }

# Callers that stay for what comes, or hang up after a while.
my @callers;

sub call () {
    my $caller = {asked => $nginx->later(GET => 'http://127.0.0.1:' . $nginx->port('both') . path())};
    $caller->{until} = time + rand(1.5) if rand() < 0.6;
    push @callers, $caller;
}

# A connection of some streams: reset one by one, or lost with all of them.
my @streams;

sub call_h2 () {
    my $h2  = connect_h2($nginx->port('h2'));
    my @ids = map { my ($id, $head) = opened($h2, GET => path()); put($h2, $head); $id } 1 .. 1 + rand 5;
    push @streams, {h2 => $h2, ids => \@ids, until => time + rand(1.5), how => any(qw(streams streams close reset goaway stays))};
}

sub end_h2 ($one) {
    my ($h2, $how, @ids) = (@$one{qw(h2 how)}, @{$one->{ids}});
    $count{"h2 $how"}++;
    if ($how eq 'stays') { counted(answer($h2, $_)->{status}) for @ids }
    elsif ($how eq 'streams') {
        put($h2, reset_($_)) for @ids;
        my ($id, $head) = opened($h2, GET => '/done');
        put($h2, $head);
        answer($h2, $id);
    }
    drop($h2, $how =~ /^(?:reset|goaway)$/ ? $how : 'close');
}

# What has ended, or is to.
sub reap ($all = 0) {
    for my $caller (splice @callers) {
        my $asked = $caller->{asked};
        if ($asked->done)                                        { counted($asked->answer->{status}) }
        elsif (defined $caller->{until} && ($caller->{until} < time)) { $asked->abort; counted(0) }
        elsif ($all && !defined $caller->{until})                { counted($asked->result->{status}) }
        else                                                     { push @callers, $caller }
    }
    for my $one (splice @streams) {
        $one->{until} < time ? end_h2($one) : push @streams, $one;
    }
}

my $rounds = volume(2000, 150);
my @old;
for my $round (1 .. $rounds) {
    call;
    call_h2 if $round % 8 == 0;
    $api->move(any(@ids[0 .. 6]), any(@states)) if $round % 5 == 0;
    $api->fault({match => {path => '/v1/messages/*'}, %{any({status => 503, body => ''}, {close => 'after'}, {delay => 700}, {delay => 700},
        {hold => 'after'}, {status => 429, json => {success => \0, message => ['slow'], retryAfter => 1}}, {truncate => 20})}}) if $round % 6 == 0;
    if ($round % 9 == 0) {
        my $body = event('message.read', {messageId => any(@ids)});
        counted('hook ' . $nginx->post($nginx->url('/hook/' . any(@shops)), $body, signed($body))->{status});
    }
    if ($round == int($rounds / 2)) {
        @old = $nginx->workers;
        $nginx->reload;
    }
    reap;
    my $end = time + 0.01;
    wait_for(sub { reap; time > $end && @callers < 80 }, 'callers to end');
}

$api->clear_faults;
wait_for(sub { $api->release; reap; !grep({ defined $_->{until} } @callers) && !@streams }, 'the last to leave');
reap(1);
note(join ', ', map { "$_: $count{$_}" } sort keys %count);


# --- What is left ------------------------------------------------------------

cmp_ok($count{200}, '>', 10, 'some were answered');
cmp_ok($count{left}, '>', 10, 'some have left');
is(join(' ', grep { !/^(?:200|404|429|502|504|left|h2 \w+|hook 20[04])$/ } sort keys %count), '', 'nothing else was answered');
ok(wait_for(sub { my %now = $nginx->children; !grep { exists $now{$_} } @old }, 'the old workers'), 'the old workers end');
ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 .*Reading: 0 Writing: 1 Waiting: 0/s }, 'connections'), 'no connection is left');

for my $pid ($nginx->workers) {
    my $left = $nginx->descriptors($pid, gateway => $nginx->port, both => $nginx->port('both'), h2 => $nginx->port('h2'));
    is("@$left{qw(gateway both h2)}", '0 0 0', "worker $pid: no descriptor");
}

my $before = $api->count;
pause(6);
is($api->count, $before, 'nothing is asked for any more');
is(get(url("/$shops[0]/messages/$ids[0]?wait=5&until=sent"))->{status}, 200, 'but by who waits') if $api->move($ids[0], 'sent');

done;
